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
	"runtime"
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

func TestGrowingOddLayers(t *testing.T) {
	noise := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	for name, plain := range map[string][]byte{
		"nothing":        {},
		"an empty tar":   make([]byte, 1024),
		"already packed": packed(t, noise, Gzip), // no tar, but nobody looks
		"noise":          noise,
	} {
		for _, z := range []Compression{Plain, Gzip, Zstd} {
			for _, want := range []Accept{{Zstd: true}, {}} {
				s := newSeedImage(t, 10, "odd")
				old := string(s.ids[0])
				s.plain[0], s.ids[0] = plain, DiffID(DigestOf(plain))
				s.config = bytes.ReplaceAll(s.config, []byte(old), []byte(s.ids[0]))
				img := s.image(t, z, false)
				spool := newSpool(t, SpoolOptions{})
				g := grow(t, spool, img, want)
				wantGrown(t, g, plain)
				if have, whole, err := g.Wait(t.Context(), 0); have == 0 || !whole || err != nil {
					t.Errorf("%s: %d bytes, whole %v: %v", name, have, whole, err)
				}
				p, err := spool.PlainOf(t.Context(), img, 0)
				must(t, err)
				wantPlain(t, p, plain)
				must(t, p.Close())
			}
		}
	}
}

// TestGrowingALargeLayer of 5 GB, of which the disk holds nothing: its first and last bytes can be read at once.
func TestGrowingALargeLayer(t *testing.T) {
	const size = 5 << 30
	s := newSeedImage(t, 10, "large")
	dir := writeLayout(t, nil)
	blob := Blob{Digest: DigestOf([]byte("not computed")), Size: size, Compression: Gzip}
	must(t, os.MkdirAll(filepath.Join(dir, "blobs/sha256"), 0o755))
	f, err := os.Create(filepath.Join(dir, blobPath(blob.Digest)))
	must(t, err)
	_, err = f.WriteAt([]byte("end"), size-3)
	must(t, errors.Join(err, f.Close()))
	img := s.image(t, Gzip, false)
	img.Layers[0].Blob = blob
	img.openAt = func(context.Context, int) (*storedBlob, error) { return layoutDir(dir).stored(blob) }
	spool := newSpool(t, SpoolOptions{})
	b, err := spool.Blob(t.Context(), img, 0, Accept{})
	if err != nil || b.Blob != blob {
		t.Errorf("%+v, %v", b, err)
	}
	g := grow(t, spool, img, Accept{})
	have, whole, err := g.Wait(t.Context(), 1)
	if err != nil || have < 1 || have > size || whole {
		t.Errorf("%d bytes, whole %v: %v", have, whole, err)
	}
	_, err = g.ReadAt(make([]byte, have), 0)
	must(t, err)
	if _, err := g.ReadAt(make([]byte, 3), size-3); err == nil {
		t.Error("the end was read before it was checked")
	}
	stored, err := img.openAt(t.Context(), 0)
	must(t, err)
	end := make([]byte, 3)
	if _, err := stored.ReadAt(end, size-3); err != nil || string(end) != "end" {
		t.Errorf("%q: %v", end, err)
	}
	must(t, stored.free())
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

func TestTurnsComeInOrder(t *testing.T) {
	turns := newTurns(1)
	first := turns.enter()
	must(t, first.wait(t.Context()))
	var waiting []*turn
	for range 4 {
		waiting = append(waiting, turns.enter())
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := waiting[1].wait(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	waiting[1].leave() // gave up
	first.leave()
	for _, i := range []int{0, 2, 3} {
		must(t, waiting[i].wait(t.Context()))
		if next := turns.enter(); next.wait(cancelled) == nil {
			t.Error("two at once")
		} else {
			next.leave()
		}
		waiting[i].leave()
	}
	must(t, turns.enter().wait(t.Context()))
}

// TestTwoMakingsGiveOneDigest though one is passed on as it grows, and their sources store the layer differently.
func TestTwoMakingsGiveOneDigest(t *testing.T) {
	s := newSeedImage(t, 2<<20, "twice")
	for z, want := range map[Compression]Accept{Gzip: {}, Zstd: {Zstd: true}} {
		blob, err := newSpool(t, SpoolOptions{}).Blob(t.Context(), s.image(t, Plain, false), 0, want)
		must(t, err)
		stored := s.image(t, map[Compression]Compression{Gzip: Zstd, Zstd: Plain}[z], true)
		got, err := grow(t, newSpool(t, SpoolOptions{}), stored, want).Blob(t.Context())
		if err != nil || got != blob.Blob || got.Compression != z {
			t.Errorf("one is %+v, the other %+v: %v", blob.Blob, got, err)
		}
	}
}

// TestEqualLayersGiveEqualBlobs also on another machine, from a source that reads in other pieces.
func TestEqualLayersGiveEqualBlobs(t *testing.T) {
	half := seedLayer(t, "text", 5<<20)
	noise := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(noise)
	layers := map[string][]byte{
		"mixed": bytes.Join([][]byte{half, noise, half[:1<<20], make([]byte, 2<<20)}, nil),
		"noise": noise, "empty": {}, "short": []byte("x"), "a block": noise[:128<<10],
	}
	for name, plain := range layers {
		for _, z := range []Compression{Gzip, Zstd} {
			var first Digest
			for _, piece := range []int{len(plain) + 1, 64<<10 + 1} {
				for _, cores := range []int{1, 4} {
					old := runtime.GOMAXPROCS(cores)
					var b bytes.Buffer
					w, err := pack(&b, z)
					must(t, err)
					for rest := plain; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
						_, err := w.Write(rest[:min(piece, len(rest))])
						must(t, err)
					}
					must(t, w.Close())
					runtime.GOMAXPROCS(old)
					d := DigestOf(b.Bytes())
					if first == "" {
						first = d
					}
					if d != first || !bytes.Equal(unpacked(t, b.Bytes(), z), plain) {
						t.Errorf("%s as %s in pieces of %d on %d cores: %s, first %s", name, z, piece, cores, d, first)
					}
				}
			}
		}
	}
}
