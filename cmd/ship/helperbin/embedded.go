//go:build helpers

package helperbin

import (
	"embed"
	"io/fs"
)

// files are made by `make helpers`. A plain build does not look at them, so that it never carries helpers of other sources
// than its own.
//
//go:embed bin/*.gz bin/*.sum
var files embed.FS

func embedded() fs.FS { return files }
