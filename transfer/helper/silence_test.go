//go:build unix

package helper_test

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"ship/transfer/helper"
	"ship/transfer/wire"
)

// A helper that nobody reads from any more ends all the same, and another can have its chunks.
func TestHelperEndsWhenNobodyReads(t *testing.T) {
	t.Parallel()
	program := build(t)
	for name, end := range map[string]func(*exec.Cmd) error{
		"silence": func(*exec.Cmd) error { return nil },
		"signal":  func(c *exec.Cmd) error { return c.Process.Signal(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, program)
			h.say(t, wire.KindOpen, wire.Open{Blob: 1, Name: "blob"})
			h.fill(t)
			if err := end(h.cmd); err != nil {
				t.Fatal(err)
			}
			select {
			case <-h.ended:
			case <-time.After(2 * helper.Silence):
				t.Fatal("it does not end")
			}
			if _, err := os.Stat(h.dir); !os.IsNotExist(err) {
				t.Errorf("the run's folder is left: %v", err)
			}
			h.mustLeave(t, "blob")
		})
	}
}

// fill makes the helper answer until both pipes are full: nothing moves any more.
func (h *process) fill(t *testing.T) {
	t.Helper()
	for {
		if err := h.in.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if err := h.control.Send(wire.KindPing); err != nil {
			if !os.IsTimeout(err) {
				t.Fatal(err)
			}
			return
		}
	}
}
