package helper

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"ship/transfer/wire"
)

// Where a program can be run only in memory, layers are still unpacked on a disk, and nothing of them stays.
func TestLayersLieOnDisk(t *testing.T) {
	memory, disk := tmpfs(t), t.TempDir()
	if inMemory(disk) {
		t.Fatalf("%s lies in memory: set TMPDIR to a folder on a disk", disk)
	}
	dir := filepath.Join(memory, "run")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	chunks := filepath.Join(disk, "ship", "chunks")
	stale, fresh := filepath.Join(chunks, "work-killed"), filepath.Join(chunks, "work-living")
	for _, d := range []string{filepath.Join(stale, "cache"), fresh} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	living, err := lockWork(fresh)
	if err != nil {
		t.Fatal(err)
	}
	defer living.remove()

	end := serve(t, Options{Dir: dir, Spools: []string{filepath.Join(memory, "chunks"), chunks}, Engine: noEngine})
	if _, err := os.Stat(stale); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a killed run left: %v", err)
	}
	if got := works(t, chunks); len(got) != 2 || !slices.Contains(got, fresh) {
		t.Errorf("folders for layers: %q", got)
	}
	if got, err := os.ReadDir(memory); err != nil || len(got) != 1 {
		t.Errorf("in memory: %v, %v", got, err)
	}
	end()
	if got := works(t, chunks); !slices.Equal(got, []string{fresh}) {
		t.Errorf("folders for layers at the end: %q", got)
	}
}

// A spool that lies in memory is better than none.
func TestSpoolsInMemoryComeLast(t *testing.T) {
	m, d := tmpfs(t), t.TempDir()
	in := func(base string, names ...string) string { return filepath.Join(append([]string{base}, names...)...) }
	got := onDiskFirst([]string{in(m, "a", "b"), in(d, "c"), in(m, "e"), in(d, "f", "g")})
	if want := []string{in(d, "c"), in(d, "f", "g"), in(m, "a", "b"), in(m, "e")}; !slices.Equal(got, want) {
		t.Errorf("%q, expected %q", got, want)
	}
}

func works(t *testing.T, store string) []string {
	t.Helper()
	got, err := filepath.Glob(filepath.Join(store, workPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// tmpfs mounts a folder in memory for the test.
func tmpfs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatalf("mount tmpfs, which only root may do: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func noEngine(context.Context) (net.Conn, error) { return nil, net.ErrClosed }

// serve runs a helper until it has welcomed us; end ends it.
func serve(t *testing.T, o Options) (end func()) {
	t.Helper()
	in, toIn := io.Pipe()
	fromOut, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(t.Context(), in, out, o)
		_ = out.Close() // never fails
	}()
	end = func() {
		_ = toIn.Close() // never fails
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
	if _, err := wire.Greeted(fromOut); err != nil {
		t.Fatal(err)
	}
	if err := wire.Greet(toIn); err != nil {
		t.Fatal(err)
	}
	c := wire.NewConn(struct {
		io.Reader
		io.Writer
	}{fromOut, toIn})
	if err := c.SendJSON(wire.KindHello, wire.Hello{Version: wire.Version, Run: "run", Quota: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if k, _, err := c.Recv(); err != nil || k != wire.KindWelcome {
		t.Fatalf("welcome: kind %d, %v", k, err)
	}
	return end
}
