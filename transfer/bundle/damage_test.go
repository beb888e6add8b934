package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ship/layers"
)

// examine opens and verifies, as an import does.
func examine(t testing.TB, b []byte, partSize int) error {
	t.Helper()
	f, err := openBytes(b, partSize)
	if err != nil {
		return err
	}
	return errors.Join(f.Verify(t.Context(), nil), f.Close())
}

// TestDamageIsNamed flips a bit in every tar header, in the middle and at both ends of every entry and its padding, in
// the checksums and in the end record. Each has to be found, with a stretch that has it inside, and by its name.
func TestDamageIsNamed(t *testing.T) {
	img := seedImage(t, amd64, "shop:v1", threeLayers...)
	b := bundled(t, source{img}, nil)
	raw := written(t, b)
	type spot struct {
		at   int64
		want string
	}
	var spots []spot
	for _, p := range b.layout.places {
		name := b.Header.name(p)
		spots = append(spots, spot{p.begin(), "the tar header of " + name}, spot{p.at - 1, "the tar header of " + name}, spot{p.at, name}, spot{p.at + p.Size/2, name}, spot{p.at + p.Size - 1, name})
		if p.end() > p.at+p.Size {
			spots = append(spots, spot{p.end() - 1, "the padding of " + name})
		}
	}
	for at := b.layout.sums; at < int64(len(raw)); at += 61 {
		spots = append(spots, spot{at, ""})
	}
	spots = append(spots, spot{int64(len(raw)) - 1, ""})
	for _, s := range spots {
		for _, partSize := range []int{0, 1<<20 + 7} {
			hurt := bytes.Clone(raw)
			hurt[s.at] ^= 4
			err := examine(t, hurt, partSize)
			var damage *DamageError
			if !errors.As(err, &damage) {
				t.Errorf("byte %d of %d, in %q: %v", s.at, len(raw), s.want, err)
				continue
			}
			from := damage.Offset
			var part int
			if n, _ := fmt.Sscanf(damage.File, "x.bundle.%03d", &part); n == 1 {
				from += int64(part-1) * int64(partSize)
			}
			if s.at < from || s.at >= from+damage.Length || s.want != "" && damage.Where != s.want {
				t.Errorf("byte %d, in %q: %v", s.at, s.want, err)
			}
		}
	}
}

// TestDamageNamesTheLayer: among several layers in one chunk the one that is hit.
func TestDamageNamesTheLayer(t *testing.T) {
	img := seedImage(t, amd64, "shop:v1", layer{"a", 5000}, layer{"b", 6000}, layer{"c", 7000})
	b := bundled(t, source{img}, nil)
	for i, p := range b.layout.places[2:5] {
		raw := written(t, b)
		raw[p.at+17] ^= 1
		var damage *DamageError
		want := fmt.Sprintf("layer %d of 3 (%s) for linux/amd64", i+1, img.Layers[i].DiffID.Short())
		if err := examine(t, raw, 0); !errors.As(err, &damage) || damage.Where != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestDamageWhileReading: also without Verify, no wrong byte of a layer comes out.
func TestDamageWhileReading(t *testing.T) {
	img := seedImage(t, amd64, "shop:v1", threeLayers...)
	b := bundled(t, source{img}, nil)
	raw := written(t, b)
	raw[b.layout.places[3].at+1<<20] ^= 1
	f, err := openBytes(raw, 0)
	must(t, err)
	got, err := f.Image(t.Context(), amd64)
	must(t, err)
	r, err := got.Open(t.Context(), 1)
	must(t, err)
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	var damage *DamageError
	if !errors.As(err, &damage) || !strings.Contains(damage.Where, "layer 2 of 3") {
		t.Errorf("%v", err)
	}
}

// badSector is a file that cannot be read from some byte to another.
type badSector struct {
	memory
	from, to int64
}

func (b badSector) ReadAt(p []byte, off int64) (int, error) {
	if off < b.to && off+int64(len(p)) > b.from {
		n, _ := b.memory.ReadAt(p[:max(0, b.from-off)], off)
		return n, syscall.EIO
	}
	return b.memory.ReadAt(p, off)
}

func TestUnreadableSector(t *testing.T) {
	img := seedImage(t, amd64, "shop:v1", threeLayers...)
	b := bundled(t, source{img}, nil)
	raw := written(t, b)
	for _, n := range []int{2, 3, 4} {
		p := b.layout.places[n]
		f, err := openBundle(&joined{path: "x", size: int64(len(raw)), parts: []part{{"x", badSector{memory{bytes.NewReader(raw)}, p.at + 600, p.at + 700}, 0, int64(len(raw))}}})
		must(t, err)
		err = f.Verify(t.Context(), nil)
		var damage *DamageError
		if !errors.As(err, &damage) || !errors.Is(err, syscall.EIO) || damage.Where != b.Header.name(p) {
			t.Errorf("%v", err)
		}
	}
}

func TestTruncation(t *testing.T) {
	img := seedImage(t, amd64, "shop:v1", threeLayers...)
	b := bundled(t, source{img}, nil)
	raw := written(t, b)
	cuts := []int{1, 511, 512, 513, 2000, len(raw) - 1, len(raw) - 512, len(raw) - 1024, len(raw) - endSize, len(raw) - endSize - 1}
	for _, p := range b.layout.places {
		cuts = append(cuts, int(p.at)-block, int(p.at), int(p.at)+1, int(p.end()))
	}
	for n := 70000; n < len(raw); n += 123457 {
		cuts = append(cuts, n)
	}
	for _, n := range cuts {
		err := examine(t, raw[:n], 0)
		var cut *TruncatedError
		var foreign *ForeignError
		switch {
		case n < block: // not even that it was a bundle can be told
			if !errors.As(err, &foreign) {
				t.Errorf("cut after %d bytes: %v", n, err)
			}
		case !errors.As(err, &cut), cut.Have != int64(n), cut.Want != 0 && cut.Want != int64(len(raw)), cut.Where == "":
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
	mid := b.layout.places[3]
	if err := examine(t, raw[:mid.at+1000], 0); err == nil || !strings.Contains(err.Error(), "layer 2 of 3") {
		t.Errorf("cut in a layer: %v", err)
	}
	var damage *DamageError
	if err := examine(t, append(bytes.Clone(raw), 0), 0); !errors.As(err, &damage) {
		t.Errorf("a byte too many: %v", err)
	}
}

func TestForeignFiles(t *testing.T) {
	img := seedImage(t, amd64, "shop:v1", layer{"a", 5000})
	raw := written(t, bundled(t, source{img}, nil))
	newer := bytes.Replace(raw, []byte(`"version": 1`), []byte(`"version": 2`), 1)
	for name, data := range map[string][]byte{
		"empty":      nil,
		"text":       []byte("hello"),
		"zeros":      make([]byte, 1<<20),
		"a layer":    seedLayer(t, "x", 5000),
		"only half":  raw[len(raw)/2:],
		"wrong head": append([]byte("x"), raw...),
	} {
		var foreign *ForeignError
		if err := examine(t, data, 0); !errors.As(err, &foreign) || !strings.Contains(err.Error(), "x.bundle") {
			t.Errorf("%s: %v", name, err)
		}
	}
	var damage *DamageError
	if err := examine(t, newer, 0); !errors.As(err, &damage) {
		t.Errorf("another header: %v", err)
	}
	dir := t.TempDir()
	var foreign *ForeignError
	if _, err := Open(dir); !errors.As(err, &foreign) {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "nothing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestLyingBundle: checksums that fit do not make a blob what its digest says.
func TestLyingBundle(t *testing.T) {
	img := seedImage(t, amd64, "shop:v1", threeLayers...)
	b := bundled(t, source{img}, nil)
	lie := []byte("what was promised is something else")
	for i, e := range b.Header.Entries {
		if e.SHA256 == b.Header.Platforms[0].Layers[0].Digest {
			lie = append(lie, make([]byte, int(e.Size)-len(lie))...)
			b.open[i] = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(lie)), nil }
		}
	}
	raw := written(t, b)
	var damage *DamageError
	if err := examine(t, raw, 0); !errors.As(err, &damage) || !strings.Contains(damage.Where, "layer 1 of 3") {
		t.Errorf("verify: %v", err)
	}
	f, err := openBytes(raw, 0)
	must(t, err)
	got, err := f.Image(t.Context(), amd64)
	must(t, err)
	r, err := got.Open(t.Context(), 0)
	must(t, err)
	defer r.Close()
	var wrong *layers.MismatchError
	if _, err := io.Copy(io.Discard, r); !errors.As(err, &wrong) {
		t.Errorf("read: %v", err)
	}
}
