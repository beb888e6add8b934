//go:build unix

package helper

import "golang.org/x/sys/unix"

// owners are the IDs of the user that a folder belongs to, none if that is not known.
func owners(dir string) []int {
	var s unix.Stat_t
	if err := unix.Lstat(dir, &s); err != nil {
		return nil
	}
	return []int{int(s.Uid)}
}

// statfs tells how many bytes can be written below dir, -1 if that is not known.
func statfs(dir string) int64 {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return -1
	}
	return int64(s.Bavail) * int64(s.Bsize) //nolint:unconvert // the types differ between systems
}
