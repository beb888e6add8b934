//go:build !unix

package chunk

import (
	"io/fs"
	"os"
)

// tryLock does nothing where there is no flock: two processes must not use one store there. Hosts are unix.
func tryLock(*os.File) (bool, error) { return true, nil }

func owner(fs.FileInfo) int { return os.Geteuid() }

func onDisk(info fs.FileInfo) int64 { return info.Size() }
