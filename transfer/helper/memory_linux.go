package helper

import "golang.org/x/sys/unix"

// inMemory tells whether what is written to a folder stays in memory.
func inMemory(dir string) bool {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return false
	}
	kind := uint32(s.Type) //nolint:unconvert // the types differ between machines
	return kind == unix.TMPFS_MAGIC || kind == unix.RAMFS_MAGIC
}
