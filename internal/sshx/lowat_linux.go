package sshx

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// mostUnsent is how many bytes may wait in a socket to be sent. What is said meanwhile on another channel of the
// connection (a lease's heartbeat, say) waits behind them: on a line of 1 Mbit/s a second, with the kernel's own choice
// up to a minute.
const mostUnsent = 128 << 10

// keepShort is a net.Dialer's Control.
func keepShort(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, mostUnsent) // slower answers at worst
	})
}
