package sshx

import "golang.org/x/sys/unix"

// queued is how many bytes of a TCP socket are not acknowledged yet.
func queued(fd uintptr) int {
	n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}
