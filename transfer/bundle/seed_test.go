package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ship/internal/shiptest/leak"
	"ship/layers"
)

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// seedLayer is the plain tar of a layer that follows from its name alone, of bytes that do not pack.
func seedLayer(t testing.TB, name string, size int) []byte {
	t.Helper()
	var seed [32]byte
	copy(seed[:], name)
	data := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(data)
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	must(t, tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(size), ModTime: time.Unix(1.7e9, 0)}))
	_, err := tw.Write(data)
	must(t, err)
	must(t, tw.Close())
	return b.Bytes()
}

// layer of a seed image: a name and a size in bytes.
type layer struct {
	name string
	size int
}

// seedImage is an image that keeps its layers plain, in memory.
func seedImage(t testing.TB, p layers.Platform, ref string, list ...layer) *layers.Image {
	t.Helper()
	var plain [][]byte
	var blobs []layers.Blob
	var ids []layers.DiffID
	for _, l := range list {
		b := seedLayer(t, l.name, l.size)
		plain, ids = append(plain, b), append(ids, layers.DiffID(layers.DigestOf(b)))
		blobs = append(blobs, layers.Blob{Digest: layers.DigestOf(b), Size: int64(len(b))})
	}
	type m = map[string]any
	config, err := json.Marshal(m{"os": p.OS, "architecture": p.Arch, "variant": p.Variant, "config": m{"Cmd": []string{"/app"}},
		"rootfs": m{"type": "layers", "diff_ids": ids}})
	must(t, err)
	img, err := layers.NewImage(ref, config, blobs, func(_ context.Context, i int) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(plain[i])), nil
	})
	must(t, err)
	return img
}

// source holds images for several platforms.
type source []*layers.Image

func (s source) Platforms() []layers.Platform {
	var out []layers.Platform
	for _, m := range s {
		out = append(out, m.Platform)
	}
	return out
}

func (s source) Image(_ context.Context, p layers.Platform) (*layers.Image, error) {
	i, err := layers.ChoosePlatform(s.Platforms(), p)
	if err != nil {
		return nil, err
	}
	return s[i], nil
}

func (s source) Close() error { return nil }

var (
	amd64 = layers.Platform{OS: "linux", Arch: "amd64"}
	arm64 = layers.Platform{OS: "linux", Arch: "arm64"}
)

func spool(t testing.TB) *layers.Spool {
	t.Helper()
	s, err := layers.OpenSpool(layers.SpoolOptions{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// made is when every bundle of a test was made.
var made = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// bundled plans and makes a bundle.
func bundled(t testing.TB, src layers.Source, inv *Inventory) *Bundle {
	t.Helper()
	p, err := NewPlan(t.Context(), src, inv)
	must(t, err)
	b, err := Make(t.Context(), p, spool(t), made)
	must(t, err)
	return b
}

// written is a bundle as bytes.
func written(t testing.TB, b *Bundle) []byte {
	t.Helper()
	var out bytes.Buffer
	must(t, b.Write(t.Context(), &out, nil))
	if int64(out.Len()) != b.Size() {
		t.Fatalf("%d bytes were written, %d announced", out.Len(), b.Size())
	}
	return out.Bytes()
}

// memory is a file that lies in memory.
type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

// openBytes opens a bundle in memory, in parts of so many bytes; 0 = in one.
func openBytes(b []byte, partSize int) (*File, error) {
	j := &joined{path: "x.bundle"}
	if partSize == 0 {
		partSize = max(len(b), 1)
	}
	for len(b) > 0 || len(j.parts) == 0 {
		p := b[:min(partSize, len(b))]
		name := "x.bundle"
		if partSize < len(b) || len(j.parts) > 0 {
			name = PartName(name, len(j.parts)+1)
		}
		j.parts = append(j.parts, part{name, memory{bytes.NewReader(p)}, j.size, int64(len(p))})
		j.size += int64(len(p))
		b = b[len(p):]
	}
	return openBundle(j)
}

// file writes bytes to a file of their own.
func file(t testing.TB, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.bundle")
	must(t, os.WriteFile(path, b, 0o600))
	return path
}

// content reads a layer to its end.
func layerBytes(t testing.TB, img *layers.Image, i int) []byte {
	t.Helper()
	r, err := img.Open(t.Context(), i)
	must(t, err)
	defer r.Close()
	b, err := io.ReadAll(r)
	must(t, err)
	return b
}

// graphHost holds stacks of images.
func graphHost(name string, p layers.Platform, zstd bool, images ...*layers.Image) Host {
	h := Host{Name: name, Platform: Platform(p), Engine: "28.5.2", Store: StoreGraph, Zstd: zstd}
	for _, m := range images {
		h.Images = append(h.Images, m.DiffIDs())
	}
	return h
}

// containerdHost holds the layers of an image that are listed.
func containerdHost(name string, p layers.Platform, img *layers.Image, held ...int) Host {
	h := Host{Name: name, Platform: Platform(p), Engine: "26.1.5", Store: StoreContainerd, Zstd: true}
	for _, i := range held {
		d := img.Layers[i].DiffID
		h.Blobs = append(h.Blobs, Blob{DiffID: d, Digest: layers.DigestOf([]byte(d)), Size: 7, Compression: "gzip"})
	}
	return h
}

func inventory(hosts ...Host) *Inventory {
	v := NewInventory(made.Add(-time.Hour), hosts)
	return &v
}

func text(p Plan) string {
	var b bytes.Buffer
	for _, part := range p.Parts {
		fmt.Fprintf(&b, "%s for %v zstd %t:", part.Image.Platform, part.Hosts, part.Accept.Zstd)
		for i := range part.Image.Layers {
			switch {
			case !part.Includes(i):
				fmt.Fprintf(&b, " %d out", i)
			case part.Lacks == nil:
				fmt.Fprintf(&b, " %d", i)
			default:
				fmt.Fprintf(&b, " %d %v", i, part.Lacks[i])
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
