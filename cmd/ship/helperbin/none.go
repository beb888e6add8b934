//go:build !helpers

package helperbin

import (
	"embed"
	"io/fs"
)

// embedded is empty where `make helpers` was not asked.
func embedded() fs.FS { return embed.FS{} }
