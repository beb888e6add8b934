package layers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// gatedImage is an image of one plain layer whose source stops before byte gate until it is opened.
type gatedImage struct {
	*Image
	plain  []byte
	opened chan struct{}         // closed = the source goes on
	reads  atomic.Int32          // how often the layer was opened
	gate   chan struct{}         // gets one for each reading that stopped
	broken func(n int) error     // what the n-th reading of the layer ends with instead; nil = nothing
	change func(n int, b []byte) // what the n-th reading gives instead
}

func newGatedImage(t *testing.T, size, gate int) *gatedImage {
	s := newSeedImage(t, size, "grow")
	g := &gatedImage{Image: s.image(t, Plain, false), plain: s.plain[0], opened: make(chan struct{}), gate: make(chan struct{}, 9)}
	g.local = false
	g.open = func(ctx context.Context, _ int) (io.ReadCloser, error) {
		n := int(g.reads.Add(1))
		b := bytes.Clone(g.plain)
		if g.change != nil {
			g.change(n, b)
		}
		rest := readFunc(func(p []byte) (int, error) {
			g.gate <- struct{}{}
			select {
			case <-g.opened:
			case <-ctx.Done():
				return 0, context.Cause(ctx)
			}
			if g.broken != nil && g.broken(n) != nil {
				return 0, g.broken(n)
			}
			return 0, io.EOF
		})
		return io.NopCloser(io.MultiReader(bytes.NewReader(b[:gate]), rest, bytes.NewReader(b[gate:]))), nil
	}
	return g
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func grow(t *testing.T, s *Spool, img *Image, want Accept) *Growing {
	t.Helper()
	g, err := s.Grow(t.Context(), img, 0, want)
	must(t, err)
	t.Cleanup(func() { must(t, g.Close()) })
	return g
}

// wantGrown reads the whole blob in a random order and checks it.
func wantGrown(t *testing.T, g *Growing, plain []byte) {
	t.Helper()
	b, err := g.Blob(t.Context())
	must(t, err)
	have, whole, err := g.Wait(t.Context(), b.Size+100)
	if have != b.Size || !whole || err != nil {
		t.Errorf("%d of %d bytes, whole %v: %v", have, b.Size, whole, err)
	}
	const piece = 64 << 10
	data := make([]byte, b.Size)
	for _, i := range rand.Perm(int((b.Size + piece - 1) / piece)) {
		p := data[i*piece : min((i+1)*piece, len(data))]
		if n, err := g.ReadAt(p, int64(i*piece)); n != len(p) || err != nil && err != io.EOF {
			t.Fatalf("read %d bytes of %d at %d: %v", n, len(p), i*piece, err)
		}
	}
	if DigestOf(data) != b.Digest || b.Compression != g.Compression() {
		t.Errorf("%+v reads as %s", b, DigestOf(data))
	}
	if !bytes.Equal(unpacked(t, data, b.Compression), plain) {
		t.Error("the blob holds another layer")
	}
}

func TestGrowingIsReadWhileItIsMade(t *testing.T) {
	for _, want := range []Accept{{Zstd: true}, {}} {
		img := newGatedImage(t, 6<<20, 5<<20)
		spool := newSpool(t, SpoolOptions{})
		g := grow(t, spool, img.Image, want)
		var early []byte
		for len(early) < 1<<20 {
			have, whole, err := g.Wait(t.Context(), int64(len(early)+1))
			if err != nil || whole || have <= int64(len(early)) {
				t.Fatalf("%d bytes of more than %d, whole %v: %v", have, len(early), whole, err)
			}
			p := make([]byte, have-int64(len(early)))
			_, err = g.ReadAt(p, int64(len(early)))
			must(t, err)
			early = append(early, p...)
		}
		if _, err := g.ReadAt(make([]byte, 1), 5<<20); err == nil {
			t.Error("bytes that nobody promised were read")
		}
		if _, err := g.ReadAt(make([]byte, 1), -1); err == nil {
			t.Error("bytes before the first were read")
		}
		close(img.opened)
		wantGrown(t, g, img.plain)
		p := make([]byte, len(early))
		if _, err := g.ReadAt(p, 0); err != nil || !bytes.Equal(p, early) {
			t.Errorf("what was read early is not in the blob: %v", err)
		}
		b, err := spool.Blob(t.Context(), img.Image, 0, want)
		must(t, err)
		if blob, _ := g.Blob(t.Context()); b.Blob != blob || img.reads.Load() != 1 {
			t.Errorf("blobs %+v and %+v, layer read %d times", b.Blob, blob, img.reads.Load())
		}
	}
}

func TestGrowingForMany(t *testing.T) {
	img := newGatedImage(t, 3<<20, 1<<20)
	spool := newSpool(t, SpoolOptions{})
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			if i%4 == 0 {
				b, err := spool.Blob(t.Context(), img.Image, 0, Accept{Zstd: true})
				if err != nil || len(readSpooled(t, b)) != int(b.Size) {
					t.Errorf("%+v: %v", b, err)
				}
				return
			}
			g, err := spool.Grow(t.Context(), img.Image, 0, Accept{Zstd: true})
			must(t, err)
			for n, whole := int64(0), false; !whole; n += 100 << 10 {
				have, w, err := g.Wait(t.Context(), n)
				must(t, err)
				_, err = g.ReadAt(make([]byte, min(have, n)), have-min(have, n))
				if err != nil && err != io.EOF {
					t.Error(err)
				}
				whole = w
			}
			wantGrown(t, g, img.plain)
			must(t, g.Close())
			must(t, g.Close())
			if _, err := g.ReadAt(make([]byte, 1), 0); !errors.Is(err, fs.ErrClosed) {
				t.Errorf("after its end: %v", err)
			}
		})
	}
	close(img.opened)
	wg.Wait()
	if img.reads.Load() != 1 {
		t.Errorf("layer read %d times", img.reads.Load())
	}
}

func TestGrowingGoesOnWhileSomebodyWantsIt(t *testing.T) {
	img := newGatedImage(t, 3<<20, 1<<20)
	spool := newSpool(t, SpoolOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	first, err := spool.Grow(ctx, img.Image, 0, Accept{})
	must(t, err)
	second, err := spool.Grow(t.Context(), img.Image, 0, Accept{})
	must(t, err)
	waiting := make(chan error)
	go func() {
		_, _, err := first.Wait(t.Context(), 3<<20)
		waiting <- err
	}()
	blob := make(chan error)
	go func() {
		_, err := spool.Blob(ctx, img.Image, 0, Accept{})
		blob <- err
	}()
	cancel()
	if err := <-waiting; err == nil {
		t.Error("whose context ended got bytes")
	}
	if err := <-blob; !errors.Is(err, context.Canceled) {
		t.Errorf("caller of Blob: %v", err)
	}
	close(img.opened)
	wantGrown(t, second, img.plain)
	must(t, errors.Join(first.Close(), second.Close()))
	if img.reads.Load() != 1 {
		t.Errorf("layer read %d times", img.reads.Load())
	}
}

func TestGrowingEndsWithTheLast(t *testing.T) {
	img := newGatedImage(t, 3<<20, 2<<20)
	dir := t.TempDir()
	spool := newSpool(t, SpoolOptions{Dir: dir})
	ctx, cancel := context.WithCancel(t.Context())
	first, err := spool.Grow(ctx, img.Image, 0, Accept{})
	must(t, err)
	second, err := spool.Grow(t.Context(), img.Image, 0, Accept{})
	must(t, err)
	have, _, err := first.Wait(t.Context(), 1)
	must(t, err)
	<-img.gate
	cancel()
	must(t, second.Close())
	spool.running.Wait()
	if _, err := first.ReadAt(make([]byte, have), 0); err != nil {
		t.Errorf("what was promised: %v", err)
	}
	third, err := spool.Grow(t.Context(), img.Image, 0, Accept{})
	must(t, err)
	close(img.opened)
	wantGrown(t, third, img.plain)
	must(t, errors.Join(first.Close(), third.Close()))
	if img.reads.Load() != 2 {
		t.Errorf("layer read %d times", img.reads.Load())
	}
	spool.running.Wait()
	if left, _ := filepath.Glob(filepath.Join(dir, "tmp", "*", "[0-9]*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestGrowingFromASourceThatFails(t *testing.T) {
	img := newGatedImage(t, 3<<20, 2<<20)
	broken := errors.New("disk on fire")
	img.broken = func(n int) error {
		if n == 1 {
			return broken
		}
		return nil
	}
	spool := newSpool(t, SpoolOptions{})
	g := grow(t, spool, img.Image, Accept{Zstd: true})
	_, _, err := g.Wait(t.Context(), 1)
	must(t, err)
	close(img.opened)
	if _, whole, err := g.Wait(t.Context(), 3<<20); !errors.Is(err, broken) || whole || errors.Is(err, ErrTryAgain) {
		t.Errorf("whole %v, error %v", whole, err)
	}
	if _, _, err := g.Wait(t.Context(), 1); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if _, err := g.Blob(t.Context()); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	wantGrown(t, grow(t, spool, img.Image, Accept{Zstd: true}), img.plain)
}

// TestGrowingTakesAnotherWay where the first turns out to be bad: in secret while nobody has seen a byte.
func TestGrowingTakesAnotherWay(t *testing.T) {
	for _, seen := range []bool{false, true} {
		t.Run(fmt.Sprintf("seen=%v", seen), func(t *testing.T) {
			img := newGatedImage(t, 3<<20, 2<<20)
			img.change = func(n int, b []byte) {
				if n == 1 {
					b[100] ^= 1
				}
			}
			img.again = func(error) bool { return img.reads.Load() == 1 }
			spool := newSpool(t, SpoolOptions{})
			g := grow(t, spool, img.Image, Accept{})
			if seen {
				_, _, err := g.Wait(t.Context(), 1)
				must(t, err)
			}
			close(img.opened)
			if seen {
				var bad *MismatchError
				if _, err := g.Blob(t.Context()); !errors.Is(err, ErrTryAgain) || !errors.As(err, &bad) {
					t.Errorf("error %v", err)
				}
				b, err := spool.Blob(t.Context(), img.Image, 0, Accept{})
				must(t, err)
				readSpooled(t, b)
				g = grow(t, spool, img.Image, Accept{})
			}
			wantGrown(t, g, img.plain)
			if img.reads.Load() != 2 {
				t.Errorf("layer read %d times", img.reads.Load())
			}
		})
	}
}

func TestGrowingFromTheCache(t *testing.T) {
	img := newGatedImage(t, 3<<20, 0)
	close(img.opened)
	dir := t.TempDir()
	file := func() string {
		files, _ := filepath.Glob(filepath.Join(dir, "*.zstd"))
		if len(files) != 1 {
			t.Fatalf("cached: %q", files)
		}
		return files[0]
	}
	for _, c := range []struct {
		name   string
		damage func(string) error
		bad    bool // is found out while it is read
		reads  int32
	}{
		{"new", nil, false, 1},
		{"sound", func(string) error { return nil }, false, 0},
		{"cut", func(f string) error { return os.Truncate(f, 100) }, false, 1},
		{"flipped", flip, true, 0},
		{"after that", nil, false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.damage != nil {
				must(t, c.damage(file()))
			}
			before := img.reads.Load()
			spool := newSpool(t, SpoolOptions{Dir: dir})
			if b, err := spool.Blob(t.Context(), img.Image, 0, Accept{Zstd: true}); err != nil || b.Size < 1<<20 {
				t.Errorf("blob %+v: %v", b, err)
			}
			g := grow(t, spool, img.Image, Accept{Zstd: true})
			if c.bad {
				if _, err := g.Blob(t.Context()); !errors.Is(err, ErrTryAgain) {
					t.Errorf("error %v", err)
				}
			} else {
				wantGrown(t, g, img.plain)
			}
			if n := img.reads.Load() - before; n != c.reads {
				t.Errorf("layer read %d times", n)
			}
		})
	}
}

func TestSpoolThatIsClosed(t *testing.T) {
	img := newGatedImage(t, 1<<20, 500<<10)
	dir := t.TempDir()
	spool, err := OpenSpool(SpoolOptions{Dir: dir})
	must(t, err)
	g, err := spool.Grow(t.Context(), img.Image, 0, Accept{})
	must(t, err)
	<-img.gate
	must(t, spool.Close())
	if _, err := g.Blob(t.Context()); err == nil {
		t.Error("a blob after the end")
	}
	must(t, g.Close())
	if _, err := spool.Grow(t.Context(), img.Image, 0, Accept{}); err == nil {
		t.Error("a new making after the end")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}
