package layers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wantPlain reads p from end to end, and then at random places.
func wantPlain(t *testing.T, p PlainLayer, plain []byte) {
	t.Helper()
	if p.Size() != int64(len(plain)) {
		t.Fatalf("%d bytes, want %d", p.Size(), len(plain))
	}
	got, err := io.ReadAll(io.NewSectionReader(p, 0, p.Size()))
	if err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("%d bytes of %s: %v", len(got), DigestOf(got), err)
	}
	for range 100 {
		off := rand.IntN(len(plain) + 1)
		b := make([]byte, rand.IntN(min(5000, len(plain)-off)+1))
		if n, err := p.ReadAt(b, int64(off)); n != len(b) || err != nil && err != io.EOF || !bytes.Equal(b, plain[off:off+n]) {
			t.Fatalf("%d bytes of %d at %d: %v", n, len(b), off, err)
		}
	}
	b := make([]byte, 10)
	rest := min(4, p.Size())
	if n, err := p.ReadAt(b, p.Size()-rest); n != int(rest) || err != io.EOF {
		t.Errorf("over the end: %d bytes, %v", n, err)
	}
	if n, err := p.ReadAt(b, p.Size()+4); n != 0 || err == nil {
		t.Errorf("after the end: %d bytes, %v", n, err)
	}
}

// wantNoTemps looks once the spools' goroutines are done, which may hold a file a moment longer than who closed it.
func wantNoTemps(t *testing.T, dir string, spools ...*Spool) {
	t.Helper()
	for _, s := range spools {
		s.running.Wait()
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "tmp", "*", "[^l]*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestPlain(t *testing.T) {
	s := newSeedImage(t, 300<<10, "plain")
	for _, z := range []Compression{Plain, Gzip, Zstd} {
		for _, where := range []string{"local", "far"} {
			t.Run(suffix(z)+" "+where, func(t *testing.T) {
				dir := t.TempDir()
				spool := newSpool(t, SpoolOptions{Dir: dir})
				img := s.image(t, z, false)
				img.local = where == "local"
				if p, err := spool.Plain(t.Context(), s.ids[0]); p != nil || !errors.Is(err, ErrNotHeld) {
					t.Errorf("of an empty cache: %v, %v", p, err)
				}
				p, err := spool.PlainOf(t.Context(), img, 0)
				must(t, err)
				wantPlain(t, p, s.plain[0])
				b, err := spool.Blob(t.Context(), img, 0, Accept{Zstd: true})
				must(t, err)
				readSpooled(t, b)
				later := newSpool(t, SpoolOptions{Dir: dir})
				for _, in := range []*Spool{spool, later, later} {
					if n, err := in.PlainSize(t.Context(), img, 0); n != int64(len(s.plain[0])) || err != nil {
						t.Errorf("%d bytes, %v", n, err)
					}
				}
				q, err := later.Plain(t.Context(), s.ids[0])
				must(t, err)
				wantPlain(t, q, s.plain[0])
				must(t, errors.Join(p.Close(), q.Close()))
				wantNoTemps(t, dir, spool, later)
			})
		}
	}
}

func TestPlainIsShared(t *testing.T) {
	s := newSeedImage(t, 2<<20, "plain")
	img := s.image(t, Plain, false)
	img.local = false
	var reads atomic.Int32
	open := img.open
	img.open = func(ctx context.Context, i int) (io.ReadCloser, error) {
		reads.Add(1)
		return open(ctx, i)
	}
	dir := t.TempDir()
	spool := newSpool(t, SpoolOptions{Dir: dir})
	var wg sync.WaitGroup
	for i := range 9 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			if i%3 == 0 {
				time.AfterFunc(time.Duration(i)*time.Millisecond, cancel)
			}
			p, err := spool.PlainOf(ctx, img, 0)
			cancel()
			if err != nil {
				if i%3 != 0 || !errors.Is(err, context.Canceled) {
					t.Errorf("%d: %v", i, err)
				}
				return
			}
			wantPlain(t, p, s.plain[0])
			must(t, errors.Join(p.Close(), p.Close()))
		})
	}
	wg.Wait()
	if n := reads.Load(); n > 2 {
		t.Errorf("the source was read %d times", n)
	}
	wantNoTemps(t, dir, spool)
}

func TestPlainOfWhatIsDamaged(t *testing.T) {
	s := newSeedImage(t, 300<<10, "plain", "other")
	img := s.image(t, Plain, false)
	dir := t.TempDir()
	_, err := newSpool(t, SpoolOptions{Dir: dir}).Blob(t.Context(), img, 0, Accept{Zstd: true})
	must(t, err)
	files, _ := filepath.Glob(filepath.Join(dir, "*.zstd"))
	good, err := os.ReadFile(files[0])
	must(t, err)
	spool := newSpool(t, SpoolOptions{Dir: dir})
	must(t, flip(files[0]))
	if p, err := spool.Plain(t.Context(), s.ids[0]); err == nil {
		t.Errorf("%d bytes of a damaged layer", p.Size())
	}
	if _, err := spool.Plain(t.Context(), s.ids[0]); !errors.Is(err, ErrNotHeld) {
		t.Errorf("it is still there: %v", err)
	}
	must(t, os.WriteFile(files[0], good, 0o600))
	must(t, flip(files[0]))
	p, err := spool.PlainOf(t.Context(), img, 0) // from the source, then
	must(t, err)
	wantPlain(t, p, s.plain[0])
	must(t, p.Close())
	img.Layers[0].DiffID = s.ids[1]
	var bad *MismatchError
	if _, err := spool.PlainOf(t.Context(), img, 0); !errors.As(err, &bad) {
		t.Errorf("another layer: %v", err)
	}
	wantNoTemps(t, dir, spool)
}

// TestStoredBlobs are read where they are, from every source that has files.
func TestStoredBlobs(t *testing.T) {
	s := newSeedImage(t, 300<<10, "a", "b")
	items, d := s.ociItems(t, Gzip)
	layout := writeLayout(t, layoutOf(t, items, d))
	sources := map[string]string{
		"folder":         "oci:" + layout,
		"archive":        "oci-archive:" + writeFile(t, "oci.tar", tarOf(t, layoutOf(t, items, d)...)),
		"docker-archive": "docker-archive:" + writeFile(t, "docker.tar", tarOf(t, s.v1Archive(t, Gzip)...)),
	}
	for name, source := range sources {
		for _, keep := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s keep=%v", name, keep), func(t *testing.T) {
				dir := t.TempDir()
				spool, err := OpenSpool(SpoolOptions{Dir: dir, KeepStored: keep})
				must(t, err)
				img := onlyImage(t, source)
				for i := range s.plain {
					g, err := spool.Grow(t.Context(), img, i, Accept{Zstd: true})
					must(t, err)
					wantGrown(t, g, s.plain[i])
					b, err := g.Blob(t.Context())
					must(t, err)
					if b.Digest != DigestOf(packed(t, s.plain[i], Gzip)) {
						t.Error("the blob was changed")
					}
					p, err := spool.PlainOf(t.Context(), img, i)
					must(t, err)
					wantPlain(t, p, s.plain[i])
					must(t, errors.Join(p.Close(), g.Close()))
				}
				must(t, spool.Close())
				later := newSpool(t, SpoolOptions{Dir: dir})
				for i, d := range s.ids {
					p, err := later.Plain(t.Context(), d)
					if !keep {
						if !errors.Is(err, ErrNotHeld) {
							t.Errorf("it was kept: %v", err)
						}
						continue
					}
					must(t, err)
					wantPlain(t, p, s.plain[i])
					must(t, p.Close())
				}
				wantNoTemps(t, dir, later)
			})
		}
	}
	t.Run("is a hard link that leaves the source as it is", func(t *testing.T) {
		blob := filepath.Join(layout, blobPath(DigestOf(packed(t, s.plain[0], Gzip))))
		old := time.Now().Add(-time.Hour)
		must(t, os.Chtimes(blob, old, old))
		before, err := os.Stat(blob)
		must(t, err)
		dir := filepath.Join(filepath.Dir(layout), "cache")
		var spools []*Spool
		for range 2 {
			spool := newSpool(t, SpoolOptions{Dir: dir, KeepStored: true})
			spools = append(spools, spool)
			_, err := grow(t, spool, onlyImage(t, "oci:"+layout), Accept{}).Blob(t.Context())
			must(t, err)
			p, err := spool.Plain(t.Context(), s.ids[0])
			must(t, err)
			must(t, p.Close())
		}
		after, err := os.Stat(blob)
		must(t, err)
		files, _ := filepath.Glob(filepath.Join(dir, "*.gzip"))
		if len(files) != 1 {
			t.Fatalf("kept %q", files)
		}
		kept, err := os.Stat(files[0])
		must(t, err)
		if !os.SameFile(kept, after) || !after.ModTime().Equal(before.ModTime()) {
			t.Errorf("source was %+v, is %+v, kept as %+v", before, after, kept)
		}
		wantNoTemps(t, dir, spools...)
	})
	t.Run("what is too large is not kept", func(t *testing.T) {
		spool := newSpool(t, SpoolOptions{KeepStored: true, Quota: 1000})
		_, err := grow(t, spool, onlyImage(t, sources["archive"]), Accept{}).Blob(t.Context())
		must(t, err)
		if _, err := spool.Plain(t.Context(), s.ids[0]); !errors.Is(err, ErrNotHeld) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("damaged", func(t *testing.T) {
		bad := writeLayout(t, layoutOf(t, slices.Clone(items), d))
		must(t, flip(filepath.Join(bad, blobPath(DigestOf(packed(t, s.plain[0], Gzip))))))
		spool := newSpool(t, SpoolOptions{KeepStored: true})
		var mismatch *MismatchError
		if _, err := grow(t, spool, onlyImage(t, "oci:"+bad), Accept{}).Blob(t.Context()); err == nil || errors.Is(err, ErrTryAgain) {
			t.Errorf("error %v", err)
		}
		if _, err := grow(t, newSpool(t, SpoolOptions{}), onlyImage(t, "oci:"+bad), Accept{}).Blob(t.Context()); !errors.As(err, &mismatch) {
			t.Errorf("error %v", err)
		}
		if _, err := spool.Plain(t.Context(), s.ids[0]); !errors.Is(err, ErrNotHeld) {
			t.Errorf("it was kept: %v", err)
		}
	})
}
