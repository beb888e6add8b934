package sshx

import (
	"net"
	"testing"
	"time"
)

func TestUnsent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	defer conn.Close()
	if n := unsent(conn); n != 0 {
		t.Errorf("%d bytes before the first", n)
	}
	must(t, conn.SetWriteDeadline(time.Now().Add(200*time.Millisecond)))
	var sent int64
	for buf := make([]byte, 1<<20); ; {
		n, err := conn.Write(buf)
		sent += int64(n)
		if err != nil {
			break // nobody reads: the socket is full
		}
	}
	if n := unsent(conn); n <= 0 || n > sent {
		t.Errorf("%d of %d bytes unsent", n, sent)
	}
}
