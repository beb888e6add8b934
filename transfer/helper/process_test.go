//go:build unix

package helper_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"ship/transfer/chunk"
	"ship/transfer/wire"
)

// build makes the program; env says what for, if not for this machine.
func build(t *testing.T, env ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "ship-helper")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", program, "ship/cmd/ship-helper")
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// process is a helper of which the test is the controller.
type process struct {
	cmd        *exec.Cmd
	argv       []string // of the program, without what it is to do
	dir, cache string
	in         *os.File
	control    *wire.Conn
	ended      chan struct{}
}

// start starts a helper, by argv, and welcomes it.
func start(t *testing.T, argv ...string) *process {
	t.Helper()
	h := &process{argv: argv, dir: filepath.Join(t.TempDir(), "run"), cache: t.TempDir(), ended: make(chan struct{})}
	if err := os.Mkdir(h.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h.cmd, h.in, h.control = h.run(t, h.ended, "serve", h.dir)
	h.say(t, wire.KindHello, wire.Hello{Version: wire.Version, Run: "run", Name: "host", Quota: 1 << 30})
	if k, _, err := h.control.Recv(); err != nil || k != wire.KindWelcome {
		t.Fatalf("welcome: kind %d, %v", k, err)
	}
	return h
}

// run runs the program, greets it, and closes ended when it has ended.
func (h *process) run(t *testing.T, ended chan<- struct{}, args ...string) (*exec.Cmd, *os.File, *wire.Conn) {
	t.Helper()
	theirIn, in := pipe(t)
	out, theirOut := pipe(t)
	ctx, kill := context.WithCancel(t.Context())
	argv := slices.Concat(h.argv, args)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "XDG_CACHE_HOME=" + h.cache}
	var said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirIn, theirOut, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(gone)
		_ = cmd.Wait() // how it ends is not the question
	}()
	t.Cleanup(func() {
		kill()
		<-gone
		if t.Failed() {
			t.Logf("%q: %s", args, said.Bytes())
		}
	})
	_ = theirIn.Close() // the program has its own
	_ = theirOut.Close()
	if err := wire.Greet(in); err != nil {
		t.Fatal(err)
	}
	if _, err := wire.Greeted(out); err != nil {
		t.Fatal(err)
	}
	return cmd, in, wire.NewConn(struct {
		io.Reader
		io.Writer
	}{out, in})
}

// data joins the helper by another run of the program, and sends chunks through that.
func (h *process) data(t *testing.T) *wire.Conn {
	t.Helper()
	_, _, c := h.run(t, make(chan struct{}), "join", h.dir, "run", wire.RoleData)
	return c
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

// hear waits for a frame of the kind.
func (h *process) hear(t *testing.T, want wire.Kind) []byte {
	t.Helper()
	for {
		switch k, p, err := h.control.Recv(); {
		case err != nil:
			t.Fatalf("waiting for kind %d: %v", want, err)
		case k == want:
			return p
		case k == wire.KindFailed:
			t.Fatalf("waiting for kind %d: %s", want, p)
		}
	}
}

// blob announces a blob of the chunks under a number and a name, and tells which of them the helper has already.
func (h *process) blob(t *testing.T, id uint32, name string, chunks ...[]byte) (have []uint32) {
	t.Helper()
	h.say(t, wire.KindOpen, wire.Open{Blob: id, Name: name})
	a, f := wire.Announce{Blob: id}, wire.Finish{Blob: id}
	for _, c := range chunks {
		a.Sums = append(a.Sums, sha256.Sum256(c))
		f.Size += int64(len(c))
	}
	f.Digest = sha256.Sum256(bytes.Join(chunks, nil))
	if err := errors.Join(h.control.SendAnnounce(wire.KindAnnounce, a), h.control.SendFinish(wire.KindFinish, f)); err != nil {
		t.Fatal(err)
	}
	for {
		k, p, err := h.control.Recv()
		if err != nil {
			t.Fatal(err)
		}
		switch k {
		case wire.KindHave:
			x, err := wire.ParseHave(p)
			if err != nil || x.Blob != id {
				t.Fatalf("%+v %v", x, err)
			}
			for _, i := range x.Items {
				have = append(have, i.Index)
			}
		case wire.KindSeen:
			return have
		default:
			t.Fatalf("kind %d: %.100q", k, p)
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
