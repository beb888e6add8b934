//go:build !carried

package carried

import (
	"embed"
	"io/fs"
)

// embedded is empty where `make carried` was not asked.
func embedded() fs.FS { return embed.FS{} }
