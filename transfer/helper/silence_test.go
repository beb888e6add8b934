//go:build unix

package helper_test

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"ship/transfer/chunk"
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

func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "ship-helper")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "ship/cmd/ship-helper").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// process is a helper of which the test is the controller.
type process struct {
	cmd        *exec.Cmd
	dir, cache string
	in         *os.File
	control    *wire.Conn
	ended      chan struct{}
}

// start starts a helper and welcomes it.
func start(t *testing.T, program string) *process {
	t.Helper()
	h := &process{dir: filepath.Join(t.TempDir(), "run"), cache: t.TempDir(), ended: make(chan struct{})}
	if err := os.Mkdir(h.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	theirIn, in := pipe(t)
	out, theirOut := pipe(t)
	h.in = in
	ctx, kill := context.WithCancel(t.Context())
	h.cmd = exec.CommandContext(ctx, program, "serve", h.dir)
	h.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "XDG_CACHE_HOME=" + h.cache}
	h.cmd.Stdin, h.cmd.Stdout, h.cmd.Stderr = theirIn, theirOut, io.Discard
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(h.ended)
		_ = h.cmd.Wait() // how it ends is not the question
	}()
	t.Cleanup(func() { kill(); <-h.ended })
	_ = theirIn.Close() // the helper has its own
	_ = theirOut.Close()
	h.control = wire.NewConn(struct {
		io.Reader
		io.Writer
	}{out, in})
	if err := wire.Greet(in); err != nil {
		t.Fatal(err)
	}
	if _, err := wire.Greeted(out); err != nil {
		t.Fatal(err)
	}
	h.say(t, wire.KindHello, wire.Hello{Version: wire.Version, Run: "run", Name: "host", Quota: 1 << 30})
	if k, _, err := h.control.Recv(); err != nil || k != wire.KindWelcome {
		t.Fatalf("welcome: kind %d, %v", k, err)
	}
	return h
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() }) // one of them may be closed
	return r, w
}

func (h *process) say(t *testing.T, k wire.Kind, v any) {
	t.Helper()
	if err := h.control.SendJSON(k, v); err != nil {
		t.Fatal(err)
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

// mustLeave checks that a blob can be locked.
func (h *process) mustLeave(t *testing.T, n chunk.Name) {
	t.Helper()
	log, err := os.Open(filepath.Join(h.cache, "ship", "chunks", string(n)+".sums"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := syscall.Flock(int(log.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Errorf("blob %s: %v", n, err)
	}
}
