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
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ship/internal/event"
)

func newSpool(t testing.TB, o SpoolOptions) *Spool {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := OpenSpool(o)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func readSpooled(t testing.TB, b *SpooledBlob) []byte {
	t.Helper()
	r, err := b.Open(t.Context())
	must(t, err)
	data, err := io.ReadAll(r)
	must(t, err)
	must(t, r.Close())
	return data
}

func unpacked(t testing.TB, b []byte, z Compression) []byte {
	t.Helper()
	r, err := unpack(bytes.NewReader(b), z)
	must(t, err)
	data, err := io.ReadAll(r)
	must(t, err)
	must(t, r.Close())
	return data
}

func TestSpoolEncodesForTheHost(t *testing.T) {
	s := newSeedImage(t, 300<<10, "a")
	for _, c := range []struct {
		stored Compression
		accept Accept
		want   Compression
		as     bool // passed on unchanged
	}{
		{Plain, Accept{Zstd: true}, Zstd, false},
		{Plain, Accept{}, Gzip, false},
		{Gzip, Accept{Zstd: true}, Gzip, true},
		{Gzip, Accept{}, Gzip, true},
		{Zstd, Accept{Zstd: true}, Zstd, true},
		{Zstd, Accept{}, Gzip, false},
	} {
		for _, where := range []string{"local", "anonymous", "remote"} {
			t.Run(fmt.Sprintf("%s from %s zstd=%v", where, suffix(c.stored), c.accept.Zstd), func(t *testing.T) {
				img := s.image(t, c.stored, where == "anonymous")
				img.local = where != "remote"
				b, err := newSpool(t, SpoolOptions{}).Blob(t.Context(), img, 0, c.accept)
				must(t, err)
				data := readSpooled(t, b)
				if b.Digest != DigestOf(data) || b.Size != int64(len(data)) || b.Compression != c.want {
					t.Errorf("blob %+v has %d bytes of %s", b.Blob, len(data), DigestOf(data))
				}
				if !bytes.Equal(unpacked(t, data, c.want), s.plain[0]) {
					t.Error("the blob holds another layer")
				}
				if c.as && !bytes.Equal(data, packed(t, s.plain[0], c.stored)) {
					t.Error("the blob was changed")
				}
			})
		}
	}
}

func TestSpoolMakesABlobOnceForManyHosts(t *testing.T) {
	s := newSeedImage(t, 300<<10, "a")
	img := s.image(t, Plain, false)
	var opened atomic.Int32
	open := img.open
	img.open = func(ctx context.Context, i int) (io.ReadCloser, error) {
		opened.Add(1)
		return open(ctx, i)
	}
	var read atomic.Int64
	dir := t.TempDir()
	spool := newSpool(t, SpoolOptions{Dir: dir, Emit: func(e event.Event) {
		if e.Type == event.Progress && e.Item == s.ids[0].Short() {
			read.Store(e.Done)
		}
	}})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			b, err := spool.Blob(t.Context(), img, 0, Accept{Zstd: true})
			if err != nil {
				t.Error(err)
				return
			}
			readSpooled(t, b)
		})
	}
	wg.Wait()
	if opened.Load() != 1 || read.Load() != int64(len(s.plain[0])) {
		t.Errorf("layer read %d times, progress says %d bytes", opened.Load(), read.Load())
	}
	// A later run finds it, also while the first still runs.
	if _, err := newSpool(t, SpoolOptions{Dir: dir}).Blob(t.Context(), img, 0, Accept{Zstd: true}); err != nil || opened.Load() != 1 {
		t.Errorf("a second run read the layer again (%d): %v", opened.Load(), err)
	}
}

func TestSpoolRefusesALayerThatIsNotWhatTheConfigSays(t *testing.T) {
	s := newSeedImage(t, 10, "a", "b")
	img := s.image(t, Zstd, false)
	img.Layers[0].DiffID = s.ids[1] // the blob is fine, what is in it is not
	dir := t.TempDir()
	_, err := newSpool(t, SpoolOptions{Dir: dir}).Blob(t.Context(), img, 0, Accept{})
	var bad *MismatchError
	if !errors.As(err, &bad) || bad.Want != Digest(s.ids[1]) {
		t.Errorf("error %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.gzip")); len(left) > 0 {
		t.Errorf("kept %q", left)
	}
}

func TestSpoolHealsADamagedCache(t *testing.T) {
	s := newSeedImage(t, 300<<10, "a")
	img := s.image(t, Plain, false)
	for name, damage := range map[string]func(string) error{
		"cut":     func(f string) error { return os.Truncate(f, 100) },
		"flipped": func(f string) error { return flip(f) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := newSpool(t, SpoolOptions{Dir: dir}).Blob(t.Context(), img, 0, Accept{})
			must(t, err)
			files, _ := filepath.Glob(filepath.Join(dir, "*.gzip"))
			must(t, damage(files[0]))
			for try := 0; ; try++ {
				b, err := newSpool(t, SpoolOptions{Dir: dir}).Blob(t.Context(), img, 0, Accept{})
				must(t, err)
				r, err := b.Open(t.Context())
				must(t, err)
				data, err := io.ReadAll(r)
				if err == nil && bytes.Equal(unpacked(t, data, Gzip), s.plain[0]) {
					return
				}
				var bad *MismatchError
				if !errors.As(err, &bad) || try > 0 {
					t.Fatalf("try %d: %v", try, err)
				}
			}
		})
	}
}

func flip(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	b[len(b)/2] ^= 1
	return os.WriteFile(name, b, 0o600)
}

func TestSpoolEvictsWhatWasNotUsedForLongest(t *testing.T) {
	s := newSeedImage(t, 100<<10, "a", "b", "c")
	img := s.image(t, Plain, false)
	dir := t.TempDir()
	spool := newSpool(t, SpoolOptions{Dir: dir, Quota: 200 << 10})
	var first *SpooledBlob
	for i := range 3 {
		b, err := spool.Blob(t.Context(), img, i, Accept{})
		must(t, err)
		if i == 0 {
			first = b
		}
		old := time.Now().Add(time.Duration(i-10) * time.Minute)
		files, _ := filepath.Glob(filepath.Join(dir, s.ids[i].Hex()+"*"))
		must(t, os.Chtimes(files[0], old, old))
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*.gzip"))
	if len(left) != 2 {
		t.Errorf("left %q", left)
	}
	if gone, _ := filepath.Glob(filepath.Join(dir, s.ids[0].Hex()+"*")); len(gone) > 0 {
		t.Errorf("the oldest is still there: %q", gone)
	}
	readSpooled(t, first) // what is in use stays readable
}

// TestSpoolsShareAFolder as two processes do, with so little room that each evicts what the other works with.
func TestSpoolsShareAFolder(t *testing.T) {
	s := newSeedImage(t, 100<<10, "a", "b", "c", "d")
	img := s.image(t, Plain, false)
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 3 {
		spool := newSpool(t, SpoolOptions{Dir: dir, Quota: 150 << 10})
		for i := range s.ids {
			for _, want := range []Accept{{Zstd: true}, {}} {
				wg.Go(func() {
					b, err := spool.Blob(t.Context(), img, i, want)
					if err != nil {
						t.Error(err)
						return
					}
					if data := readSpooled(t, b); !bytes.Equal(unpacked(t, data, b.Compression), s.plain[i]) {
						t.Errorf("layer %d holds something else", i)
					}
				})
			}
		}
	}
	wg.Wait()
}

func TestSpoolCleansUpAfterAKilledProcess(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "tmp", "dead")
	must(t, os.MkdirAll(dead, 0o700))
	must(t, os.WriteFile(filepath.Join(dead, "lock"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(dead, "half"), make([]byte, 100), 0o600))
	live := newSpool(t, SpoolOptions{Dir: dir})
	old := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(dead, old, old))
	must(t, os.Chtimes(live.cache.tmp, old, old))
	newSpool(t, SpoolOptions{Dir: dir})
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a killed process left is still there: %v", err)
	}
	if _, err := os.Stat(live.cache.tmp); err != nil {
		t.Errorf("a live process lost its folder: %v", err)
	}
}

// TestSpoolHoldsNothingInMemory passes layers much larger than what it may take.
func TestSpoolHoldsNothingInMemory(t *testing.T) {
	const size, limit = 64 << 20, 32 << 20
	files := []File{{Path: "/big", Mode: 0o644, Size: size, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(rand.NewChaCha8([32]byte{1}), size)), nil
	}}}
	src, err := Build(BuildConfig{Platform: Platform{OS: "linux", Arch: "amd64"}}, files)
	must(t, err)
	img, err := src.Image(t.Context(), Platform{})
	must(t, err)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	spool := newSpool(t, SpoolOptions{})
	for _, want := range []Accept{{Zstd: true}, {}} {
		b, err := spool.Blob(t.Context(), img, 0, want)
		must(t, err)
		a := Archive{Config: img.Config, Layers: []ArchiveLayer{{DiffID: img.Layers[0].DiffID, Blob: b.Blob,
			Open: func() (io.ReadCloser, error) { return b.Open(t.Context()) }}}}
		_, err = a.WriteTo(io.Discard)
		must(t, err)
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.Sys) - int64(before.Sys); grown > limit {
		t.Errorf("took %d MB", grown>>20)
	}
}
