//go:build carried

package carried

import (
	"embed"
	"io/fs"
)

// files are made by `make carried`. A plain build does not look at them, so that it never carries programs of other sources
// than its own.
//
//go:embed bin/*.gz bin/*.sum
var files embed.FS

func embedded() fs.FS { return files }
