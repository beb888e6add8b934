package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ship/layers"
)

// threeLayers have two chunks and a bit in the middle one, so that chunks hold several entries, one and a part of one.
var threeLayers = []layer{{"a", 5000}, {"b", 2 << 20}, {"c", 70000}}

func TestRoundTrip(t *testing.T) {
	img := seedImage(t, amd64, "shop:v1", threeLayers...)
	arm := seedImage(t, arm64, "shop:v1", layer{"a", 5000}, layer{"z", 9000}, layer{"a", 5000})
	b := bundled(t, source{img, arm}, nil)
	raw := written(t, b)
	if again := written(t, b); !bytes.Equal(raw, again) {
		t.Error("two writings differ")
	}
	f, err := openBytes(raw, 0)
	must(t, err)
	defer f.Close()
	must(t, f.Verify(t.Context(), nil))
	s := spool(t)
	for _, want := range []*layers.Image{img, arm} {
		got, err := f.Image(t.Context(), want.Platform)
		must(t, err)
		if got.Ref != "shop:v1" || got.ConfigDigest() != want.ConfigDigest() || !slices.Equal(got.DiffIDs(), want.DiffIDs()) {
			t.Errorf("%s: %q %s", want.Platform, got.Ref, got.ConfigDigest())
		}
		for i := range want.Layers {
			blob, err := s.Blob(t.Context(), got, i, layers.Accept{Zstd: true})
			must(t, err)
			if blob.Compression != layers.Zstd || !bytes.Equal(layerBytes(t, got, i)[:4], []byte{0x28, 0xb5, 0x2f, 0xfd}) {
				t.Errorf("layer %d is %q", i, blob.Compression)
			}
			plain, err := s.Blob(t.Context(), got, i, layers.Accept{}) // unpacks it, and checks the diff ID
			must(t, err)
			if plain.Compression != layers.Gzip {
				t.Errorf("layer %d is %q", i, plain.Compression)
			}
		}
	}
}

// TestTarShowsIt: standard tools list a bundle, and a whole one is an image archive too.
func TestTarShowsIt(t *testing.T) {
	img := seedImage(t, amd64, "shop:v1", threeLayers...)
	raw := written(t, bundled(t, source{img}, nil))
	var names []string
	for r := tar.NewReader(bytes.NewReader(raw)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		data, err := io.ReadAll(r)
		must(t, err)
		if d, ok := strings.CutPrefix(h.Name, blobDir); ok && layers.DigestOf(data).Hex() != d {
			t.Errorf("%s is not its own digest", h.Name)
		}
		names = append(names, strings.TrimPrefix(h.Name, blobDir)[:8])
	}
	if names[0] != "ship-bun" || len(names) != 11 || !slices.Contains(names, "index.js") {
		t.Errorf("entries: %v", names)
	}
	for _, transport := range []string{layers.TransportOCIArchive, layers.TransportDockerArchive} {
		src, err := layers.Open(t.Context(), layers.Ref{Transport: transport, Path: file(t, raw)}, nil, layers.OpenOptions{CacheDir: t.TempDir()})
		must(t, err)
		got, err := src.Image(t.Context(), amd64)
		must(t, err)
		if got.Ref != "shop:v1" || got.ConfigDigest() != img.ConfigDigest() {
			t.Errorf("%s: %q %s", transport, got.Ref, got.ConfigDigest())
		}
		must(t, src.Close())
	}
}

func TestPartial(t *testing.T) {
	v1 := seedImage(t, amd64, "shop:v1", threeLayers...)
	v2 := seedImage(t, amd64, "shop:v2", threeLayers[0], threeLayers[1], layer{"d", 3000})
	inv := inventory(graphHost("h1", amd64, true, v1), containerdHost("h2", amd64, v2, 0, 1))
	raw := written(t, bundled(t, source{v2}, inv))
	if len(raw) > 3000+12*1024 {
		t.Errorf("%d bytes for a layer of 3000", len(raw))
	}
	f, err := openBytes(raw, 0)
	must(t, err)
	defer f.Close()
	must(t, f.Verify(t.Context(), nil))
	if !f.Header.Partial() || !f.Header.Inventory.Equal(inv.Time) {
		t.Errorf("%+v", f.Header)
	}
	img, err := f.Image(t.Context(), amd64)
	must(t, err)
	if r, err := img.Open(t.Context(), 2); err != nil {
		t.Error(err)
	} else {
		must(t, r.Close())
	}
	_, err = img.Open(t.Context(), 1)
	var left *LeftOutError
	if !errors.As(err, &left) || left.Layer != v2.Layers[1].DiffID || left.Number != 2 || left.Of != 3 || !left.Inventory.Equal(inv.Time) {
		t.Errorf("%v", err)
	}
	for name, tc := range map[string]struct {
		held layers.Held
		want []int // layers that neither the host nor the bundle has
	}{
		"as it was":   {layers.Held{Prefix: 2}, nil},
		"all gone":    {layers.Held{}, []int{1, 2}},
		"half gone":   {layers.Held{Prefix: 1}, []int{2}},
		"all is here": {layers.Held{Prefix: 3}, nil},
	} {
		var got []int
		for _, e := range f.Missing(img, tc.held) {
			got = append(got, e.Number)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
	// Engines must not take it for an image.
	if _, err := layers.Open(t.Context(), layers.Ref{Transport: layers.TransportArchive, Path: file(t, raw)}, nil, layers.OpenOptions{}); err == nil {
		t.Error("a partial bundle was opened as an archive")
	}
}

// TestOldEngine: layers are packed for the oldest engine of their platform.
func TestOldEngine(t *testing.T) {
	img := seedImage(t, amd64, "shop:v1", threeLayers...)
	arm := seedImage(t, arm64, "shop:v1", threeLayers...)
	inv := inventory(graphHost("new", amd64, true), graphHost("old", amd64, false), graphHost("pi", arm64, true))
	b := bundled(t, source{img, arm}, inv)
	for i, want := range []layers.Compression{layers.Gzip, layers.Zstd} {
		for n, l := range b.Header.Platforms[i].Layers {
			if l.Compression != string(want) {
				t.Errorf("layer %d for %s is %q", n+1, b.Header.Platforms[i].Platform, l.Compression)
			}
		}
	}
}

// TestLayerTwice: a layer that comes twice in an image, and is lacking once, is there for both.
func TestLayerTwice(t *testing.T) {
	a, b := layer{"a", 5000}, layer{"b", 6000}
	base := seedImage(t, amd64, "base:v1", a)
	img := seedImage(t, amd64, "shop:v1", a, b, a)
	f, err := openBytes(written(t, bundled(t, source{img}, inventory(graphHost("h1", amd64, true, base)))), 0)
	must(t, err)
	defer f.Close()
	must(t, f.Verify(t.Context(), nil))
	if got, err := f.Image(t.Context(), amd64); err != nil || f.Header.Partial() || len(f.Header.Entries) < 3 {
		t.Errorf("%v %+v", err, f.Header)
	} else if !bytes.Equal(layerBytes(t, got, 0), layerBytes(t, got, 2)) {
		t.Error("the same layer differs")
	}
}

// TestTarHeader: one block is enough for any size, and tar reads it.
func TestTarHeader(t *testing.T) {
	for _, size := range []int64{0, 1, maxUSTAR - 1, maxUSTAR, maxSize} {
		b, err := tarHeader(blobName(layers.DigestOf(nil)), size)
		must(t, err)
		h, err := tar.NewReader(bytes.NewReader(b)).Next()
		if err != nil || len(b) != block || h.Size != size || h.Name != blobName(layers.DigestOf(nil)) {
			t.Errorf("%d bytes: %v %+v in %d", size, err, h, len(b))
		}
	}
}

func TestSplitAndJoin(t *testing.T) {
	img := seedImage(t, amd64, "shop:v1", layer{"b", 3 << 20})
	b := bundled(t, source{img}, nil)
	path := filepath.Join(t.TempDir(), "odd [name]*.bundle")
	names, err := b.WriteFile(t.Context(), path, 1<<20+7, nil)
	must(t, err)
	if len(names) != 4 || names[3] != path+".004" {
		t.Fatalf("parts: %v", names)
	}
	for _, name := range append(names, path) {
		f, err := Open(name)
		must(t, err)
		must(t, f.Verify(t.Context(), nil))
		if f.Parts() != 4 || f.Size() != b.Size() {
			t.Errorf("%d parts of %d bytes", f.Parts(), f.Size())
		}
		must(t, f.Close())
	}
	hurt := func(do func()) error {
		dir := t.TempDir()
		for _, n := range names {
			data, err := os.ReadFile(n)
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, filepath.Base(n)), data, 0o600))
		}
		must(t, os.Chdir(dir))
		do()
		f, err := Open(filepath.Base(path))
		if err == nil {
			err = errors.Join(f.Verify(t.Context(), nil), f.Close())
		}
		return err
	}
	t.Chdir(t.TempDir()) // and back at the end
	base := func(n int) string { return filepath.Base(names[n-1]) }
	var cut *TruncatedError
	for n := 1; n <= 4; n++ {
		err := hurt(func() { must(t, os.Truncate(base(n), 1000)) })
		if !errors.As(err, &cut) {
			t.Errorf("part %d is cut: %v", n, err)
		}
		err = hurt(func() { must(t, os.Remove(base(n))) })
		if n == 1 && !errors.As(err, &cut) && !errors.Is(err, os.ErrNotExist) || n > 1 && !errors.As(err, &cut) {
			t.Errorf("part %d is missing: %v", n, err)
		}
	}
	err = hurt(func() {
		must(t, os.Rename(base(2), "x"))
		must(t, os.Rename(base(3), base(2)))
		must(t, os.Rename("x", base(3)))
	})
	var damage *DamageError
	if !errors.As(err, &damage) || damage.File != base(2) && damage.File != base(1) {
		t.Errorf("two parts are exchanged: %v", err)
	}
}

func TestBadPlaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.bundle")
	var split *PlaceError
	for _, tc := range []struct{ size, part int64 }{{10 << 20, 1000}, {2000 << 20, 1 << 20}} {
		if err := CheckParts(path, tc.size, tc.part); !errors.As(err, &split) {
			t.Errorf("%d by %d: %v", tc.size, tc.part, err)
		}
	}
	if _, err := save(os.DevNull, 0, func(io.Writer) error { return nil }); !errors.As(err, &split) {
		t.Errorf("a device: %v", err)
	}
	must(t, CheckParts(path, 10<<20, 4<<20))
	must(t, os.WriteFile(PartName(path, 3), nil, 0o600))
	must(t, CheckParts(path, 10<<20, 4<<20)) // will be written over
	must(t, os.WriteFile(PartName(path, 7), nil, 0o600))
	if err := CheckParts(path, 10<<20, 4<<20); !errors.As(err, &split) || !strings.Contains(err.Error(), ".007") {
		t.Errorf("an old part: %v", err)
	}
}

// stopWriter ends the context once so many bytes went through.
type stopWriter struct {
	left int
	stop context.CancelCauseFunc
}

func (s *stopWriter) Write(b []byte) (int, error) {
	if s.left -= len(b); s.left < 0 {
		s.stop(errStopped)
	}
	return len(b), nil
}

var errStopped = errors.New("stopped by the test")

func TestCancelledWriteLeavesNothing(t *testing.T) {
	img := seedImage(t, amd64, "shop:v1", layer{"b", 9 << 20})
	b := bundled(t, source{img}, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	if err := b.Write(ctx, &stopWriter{4 << 20, cancel}, nil); !errors.Is(err, errStopped) {
		t.Errorf("write: %v", err)
	}
	for _, partSize := range []int64{0, 1 << 20} {
		path := filepath.Join(t.TempDir(), "x.bundle")
		must(t, os.WriteFile(PartName(path, 1), []byte("old"), 0o600))
		if _, err := b.WriteFile(ctx, path, partSize, nil); !errors.Is(err, errStopped) {
			t.Errorf("write file: %v", err)
		}
		list, err := os.ReadDir(filepath.Dir(path))
		must(t, err)
		if len(list) != 1 {
			t.Errorf("left: %v", list)
		}
	}
	f, err := openBytes(written(t, b), 0)
	must(t, err)
	if err := f.Verify(ctx, nil); !errors.Is(err, errStopped) {
		t.Errorf("verify: %v", err)
	}
}
