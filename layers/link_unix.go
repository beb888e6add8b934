//go:build unix

package layers

import (
	"io/fs"
	"syscall"
)

// hasOtherNames tells a file that somebody else may know by another name.
func hasOtherNames(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && s.Nlink > 1
}
