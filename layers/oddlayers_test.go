package layers

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

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
