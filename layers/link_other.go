//go:build !unix

package layers

import "io/fs"

// hasOtherNames cannot tell here.
func hasOtherNames(fs.FileInfo) bool { return false }
