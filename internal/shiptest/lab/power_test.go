//go:build linux

package lab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

func testFreeze(t *testing.T, l *Lab) {
	h, ctx := l.Host("h2"), t.Context()
	ok(t, h.Freeze(ctx))
	c, err := net.DialTimeout("tcp", fmt.Sprintf("%s:22", h.Addr), 2*time.Second)
	ok(t, err) // the kernel still accepts
	defer c.Close()
	ok(t, c.SetReadDeadline(time.Now().Add(700*time.Millisecond)))
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a frozen host said %d bytes, %v", n, err)
	}
	if _, err := h.Exec(ctx, "true"); !errors.Is(err, ErrFrozen) {
		t.Errorf("exec on a frozen host: %v", err)
	}
	ok(t, h.Thaw(ctx))
	ok(t, get(ctx, h, 5*time.Second))
}

func testRestartDocker(t *testing.T, l *Lab) {
	ok(t, l.Host("h2").RestartDocker(t.Context()))
	wantServing(t, l.Host("h2"))
}

// greeted is a connection to the host's sshd over which its banner came.
func greeted(t *testing.T, h *Host) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", fmt.Sprintf("%s:22", h.Addr), 2*time.Second)
	ok(t, err)
	t.Cleanup(func() { c.Close() })
	ok(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
	if _, err := io.ReadFull(c, make([]byte, len("SSH-2.0-"))); err != nil {
		t.Fatal(err)
	}
	return c
}

func testKill(t *testing.T, l *Lab) {
	for _, h := range l.Hosts[:2] {
		c := greeted(t, h)
		ok(t, h.Kill(t.Context()))
		ok(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		if _, err := io.Copy(io.Discard, c); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the peer of a dead host heard %v, want silence", h.Name, err)
		}
		if _, err := h.Exec(t.Context(), "true"); !errors.Is(err, ErrOff) {
			t.Errorf("exec on a dead host: %v", err)
		}
		ok(t, h.Boot(t.Context()))
		wantServing(t, h) // by its restart policy
	}
}

func testStop(t *testing.T, l *Lab) {
	h := l.Host("h1")
	c := greeted(t, h)
	ok(t, h.Stop(t.Context()))
	ok(t, c.SetReadDeadline(time.Now().Add(time.Second)))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the peer of a halted host hears nothing, want the connection closed")
	}
	if h.State() != "off" {
		t.Errorf("state %s after halt", h.State())
	}
	ok(t, h.Boot(t.Context()))
	wantServing(t, h)
}
