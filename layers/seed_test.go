package layers

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"
)

// seedLayer is the plain tar of a layer that follows from its name alone: files of text that packs to 75 %.
func seedLayer(t testing.TB, name string, size int) []byte {
	t.Helper()
	var seed [32]byte
	copy(seed[:], name)
	r := rand.NewChaCha8(seed)
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for i := 0; size > 0 || i == 0; i++ {
		n := min(size, 100<<10)
		data := make([]byte, n)
		_, _ = r.Read(data)
		for j := range data {
			data[j] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ \n"[data[j]&63]
		}
		must(t, tw.WriteHeader(&tar.Header{Name: fmt.Sprintf("%s/%03d", name, i), Mode: 0o644, Size: int64(n), ModTime: time.Unix(1.7e9, 0)}))
		_, err := tw.Write(data)
		must(t, err)
		size -= n
	}
	must(t, tw.Close())
	return b.Bytes()
}

// seedImage has one layer for each "name", and a history with an empty step after each.
type seedImage struct {
	config []byte
	plain  [][]byte
	ids    []DiffID
}

func newSeedImage(t testing.TB, size int, names ...string) seedImage {
	return newSeedImageFor(t, Platform{OS: "linux", Arch: "amd64"}, size, names...)
}

func newSeedImageFor(t testing.TB, p Platform, size int, names ...string) seedImage {
	t.Helper()
	s := seedImage{}
	type m = map[string]any
	var history []m
	for _, n := range names {
		plain := seedLayer(t, n, size)
		s.plain = append(s.plain, plain)
		s.ids = append(s.ids, DiffID(DigestOf(plain)))
		history = append(history, m{"created": "2026-01-02T03:04:05Z", "created_by": "COPY " + n}, m{"created_by": "ENV A=b", "empty_layer": true})
	}
	config := m{"created": "2026-01-02T03:04:05Z", "os": p.OS, "architecture": p.Arch,
		"config":  m{"Env": []string{"PATH=/"}, "Cmd": []string{"/app"}, "Labels": m{"ship.service": "shop"}},
		"rootfs":  m{"type": "layers", "diff_ids": s.ids},
		"history": history}
	if p.Variant != "" {
		config["variant"] = p.Variant
	}
	b, err := json.Marshal(config)
	must(t, err)
	s.config = b
	return s
}

// image as a source that keeps its layers packed as z would give it, without their digests if anonymous.
func (s seedImage) image(t testing.TB, z Compression, anonymous bool) *Image {
	t.Helper()
	img := &Image{Config: s.config, Platform: Platform{OS: "linux", Arch: "amd64"}, local: true}
	var blobs [][]byte
	for i, plain := range s.plain {
		b := packed(t, plain, z)
		blobs = append(blobs, b)
		blob := Blob{Digest: DigestOf(b), Size: int64(len(b)), Compression: z}
		if anonymous {
			blob.Digest, blob.Size = "", -1
		}
		img.Layers = append(img.Layers, Layer{DiffID: s.ids[i], Blob: blob})
	}
	img.open = func(_ context.Context, i int) (io.ReadCloser, error) {
		return verify(io.NopCloser(bytes.NewReader(blobs[i])), DigestOf(blobs[i]), -1), nil
	}
	return img
}

// archive with the layers held left out.
func (s seedImage) archive(t testing.TB, z Compression, tag string, held ...int) Archive {
	t.Helper()
	a := Archive{Config: s.config, Tag: tag}
	for i, plain := range s.plain {
		b := packed(t, plain, z)
		l := ArchiveLayer{DiffID: s.ids[i], Blob: Blob{Digest: DigestOf(b), Size: int64(len(b)), Compression: z},
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}
		for _, h := range held {
			if h == i {
				l.Open = nil
			}
		}
		a.Layers = append(a.Layers, l)
	}
	return a
}

func packed(t testing.TB, plain []byte, z Compression) []byte {
	t.Helper()
	if z == Plain {
		return plain
	}
	var b bytes.Buffer
	w, err := pack(&b, z)
	must(t, err)
	_, err = w.Write(plain)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// entries of a tar, in order.
func entries(t testing.TB, b []byte) (names []string, data map[string][]byte) {
	t.Helper()
	data = make(map[string][]byte)
	tr := tar.NewReader(bytes.NewReader(b))
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return names, data
		}
		must(t, err)
		if h.Typeflag != tar.TypeReg || h.Mode != 0o644 || h.ModTime.Unix() != 0 || h.Uid != 0 {
			t.Errorf("entry %s has header %+v", h.Name, h)
		}
		names = append(names, h.Name)
		data[h.Name], err = io.ReadAll(tr)
		must(t, err)
	}
}
