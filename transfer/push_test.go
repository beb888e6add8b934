package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"testing"

	"compress/gzip"

	"github.com/klauspost/compress/zstd"

	"ship/layers"
)

// layerSum is the diff ID of layer i as it is really stored.
func layerSum(t testing.TB, img *layers.Image, i int) (layers.DiffID, error) {
	t.Helper()
	r, err := img.Open(t.Context(), i)
	if err != nil {
		return "", err
	}
	defer r.Close()
	var plain io.Reader = r
	switch img.Layers[i].Blob.Compression {
	case layers.Gzip:
		plain, err = gzip.NewReader(r)
	case layers.Zstd:
		var d *zstd.Decoder
		if d, err = zstd.NewReader(r); err == nil {
			defer d.Close()
			plain = d
		}
	}
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, plain); err != nil {
		return "", err
	}
	return layers.DiffID("sha256:" + hex.EncodeToString(h.Sum(nil))), nil
}

func imageOf(t testing.TB, src layers.Source) *layers.Image {
	t.Helper()
	img, err := src.Image(context.WithoutCancel(t.Context()), layers.Platform{})
	must(t, err)
	return img
}

// TestPushSteps is the life of an image: first push, again, a small change, another base.
func TestPushSteps(t *testing.T) {
	base, deps := testLayer{name: "steps-base", size: 5 << 20}, testLayer{name: "steps-deps", size: 4 << 20}
	empty, app := testLayer{}, testLayer{name: "steps-app", size: 300_000}
	hosts := fleet(t, everyHost()...)
	p := newPusher(t, "steps:v1")

	v1 := openImage(t, base, deps, empty, app, empty)
	for i, r := range p.push(t, v1, hosts...) {
		if r.Sent != 5 || r.Held != 0 || r.Bytes < 6<<20 || r.Bytes > 10<<20 {
			t.Errorf("first push: %+v", r)
		}
		if !isStore(r.Host) && r.ImageID != string(imageOf(t, v1).ConfigDigest()) {
			t.Errorf("image ID %s", r.ImageID)
		}
		hosts[i].saved(t, "steps:v1", imageOf(t, v1))
	}
	for _, r := range p.push(t, v1, hosts...) {
		if r.Sent != 0 || r.Held != 5 || r.Bytes != 0 || r.ImageID == "" {
			t.Errorf("second push: %+v", r)
		}
	}
	p.opt.Tag = "steps:other"
	for _, r := range p.push(t, v1, hosts...) {
		if r.Sent != 0 || r.Held != 5 || r.Bytes != 0 || r.ImageID == "" {
			t.Errorf("another tag: %+v", r)
		}
	}

	p.opt.Tag = "steps:v2"
	v2 := openImage(t, base, deps, empty, testLayer{name: "steps-app2", size: 300_000}, empty)
	for i, r := range p.push(t, v2, hosts...) {
		want := 2 // a graph driver keeps the empty layer by what is below it
		if isStore(r.Host) {
			want = 1
		}
		if r.Sent != want || r.Bytes > 310_000 {
			t.Errorf("small change: %+v", r)
		}
		hosts[i].saved(t, "steps:v2", imageOf(t, v2))
		hosts[i].saved(t, "steps:v1", imageOf(t, v1))
	}

	p.opt.Tag = "steps:v3"
	v3 := openImage(t, testLayer{name: "steps-base3", size: 3 << 20}, deps, empty, app, empty)
	for i, r := range p.push(t, v3, hosts...) {
		want := 5 // a graph driver keeps layers by what is below them
		if isStore(r.Host) {
			want = 1
		}
		if r.Sent != want {
			t.Errorf("another base: %+v", r)
		}
		hosts[i].saved(t, "steps:v3", imageOf(t, v3))
	}
}

// TestPushCompressed: what the source stores compressed passes unchanged, unless the engine cannot read it.
func TestPushCompressed(t *testing.T) {
	for _, z := range []layers.Compression{layers.Gzip, layers.Zstd} {
		t.Run(string(z), func(t *testing.T) {
			tag := fmt.Sprintf("compressed:%s", z)
			src := openImage(t, testLayer{name: "a-" + tag, size: 1 << 20, z: z}, testLayer{name: "b-" + tag, size: 2 << 20, z: z})
			img := imageOf(t, src)
			hosts := fleet(t, everyHost()...)
			for i, r := range newPusher(t, tag).push(t, src, hosts...) {
				asStored := img.Layers[0].Blob.Size + img.Layers[1].Blob.Size
				if recoded := z == layers.Zstd && r.Host == graph20; (r.Bytes == asStored) == recoded {
					t.Errorf("%s was sent %d bytes, the source has %d", r.Host, r.Bytes, asStored)
				}
				hosts[i].saved(t, tag, img)
			}
		})
	}
}
