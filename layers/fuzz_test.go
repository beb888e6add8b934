package layers

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
)

func FuzzNormalizeRef(f *testing.F) {
	for _, s := range []string{"shop", "a/b:c", "[::1]:5/a", "x@sha256:0", "A.b/c", "localhost/x:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		full, err := NormalizeRef(s)
		if err != nil {
			return
		}
		short, err := FamiliarRef(s)
		must(t, err)
		for _, name := range []string{full, short} {
			if again, err := NormalizeRef(name); err != nil || again != full {
				t.Errorf("%q is %q, which is %q, %v", s, name, again, err)
			}
		}
	})
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"shop:v1", "oci:x:y", "docker-daemon:a", "docker://x", "./a.tar", "docker-archive::", "ssh://a@b:2/c:d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRef(s)
		if err != nil {
			if len(err.Error()) > 2000+len(s) {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
			return
		}
		if again, err := ParseRef(r.String()); err != nil || again != r {
			t.Errorf("%q: %+v is written %q, which is %+v, %v", s, r, r, again, err)
		}
	})
}

// FuzzArchive reads whatever bytes as an archive of either kind. What comes out must be whole.
func FuzzArchive(f *testing.F) {
	s := newSeedImage(f, 10, "a", "a")
	f.Add(tarOf(f, s.v1Archive(f, Plain, "x")...))
	f.Add(tarOf(f, s.v1Archive(f, Gzip)...))
	items, d := s.ociItems(f, Zstd)
	f.Add(tarOf(f, layoutOf(f, items, d)...))
	var b bytes.Buffer
	_, err := s.archive(f, Plain, "x").WriteTo(&b)
	must(f, err)
	f.Add(b.Bytes())
	name := f.TempDir() + "/a.tar"
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := sniff(data); err != nil || len(data) > 4 && (data[0] == 0x1f || isZstd(data)) {
			return // unpacking bombs is not what is looked for
		}
		must(t, os.WriteFile(name, data, 0o600))
		src, err := Open(t.Context(), Ref{Transport: TransportArchive, Path: name}, nil, OpenOptions{})
		if err != nil {
			if src != nil {
				t.Error("an error and a source")
			}
			return
		}
		readAll(t, src)
		must(t, src.Close())
	})
}

func readAll(t *testing.T, src Source) {
	for _, p := range src.Platforms() {
		img, err := src.Image(t.Context(), p)
		if err != nil {
			continue
		}
		for i, l := range img.Layers {
			r, err := img.Open(t.Context(), i)
			if err != nil {
				continue
			}
			b, err := io.ReadAll(r)
			if err == nil && l.Blob.Digest != "" && DigestOf(b) != l.Blob.Digest {
				t.Errorf("layer %d: %d bytes pass for %+v", i, len(b), l.Blob)
			}
			must(t, r.Close())
		}
	}
}

// FuzzLayout reads whatever bytes as an index.json over good blobs.
func FuzzLayout(f *testing.F) {
	s := newSeedImage(f, 10, "a")
	items, d := s.ociItems(f, Gzip)
	blobs := memoryLayout{blobs: make(map[Digest][]byte)}
	for _, i := range items {
		blobs.blobs[DigestOf(i.data)] = i.data
	}
	nested, err := json.Marshal(ociIndex{SchemaVersion: 2, Manifests: []descriptor{d}})
	must(f, err)
	f.Add(nested)
	f.Add(bytes.ReplaceAll(nested, []byte(d.Digest), []byte(DigestOf(s.config))))
	f.Add([]byte(`{"manifests":[{"digest":"x","annotations":{"a":"b"},"platform":{}}]}`))
	f.Fuzz(func(t *testing.T, index []byte) {
		l := memoryLayout{blobs: blobs.blobs, raw: index}
		src, err := openLayout(t.Context(), Ref{Transport: TransportOCI, Path: "x"}, l, nil)
		if err == nil {
			readAll(t, src)
		}
	})
}

type memoryLayout struct {
	blobs map[Digest][]byte
	raw   []byte
}

func (m memoryLayout) cheap() bool                      { return true }
func (m memoryLayout) index() ([]byte, error)           { return m.raw, nil }
func (m memoryLayout) stored(Blob) (*storedBlob, error) { return nil, nil }
func (m memoryLayout) openBlob(_ context.Context, d Digest) (io.ReadCloser, error) {
	b, ok := m.blobs[d]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// FuzzExport reads whatever bytes as what an engine exports.
func FuzzExport(f *testing.F) {
	s := newSeedImage(f, 10, "a", "b", "a")
	id := DigestOf(s.config)
	good := tarOf(f, s.v1Archive(f, Plain, "x")...)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add(bytes.ReplaceAll(good, []byte("layer.tar"), []byte("layer.xxx")))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := openCache(t.TempDir(), 1<<30)
		must(t, err)
		x := &exported{cache: c, files: make(map[DiffID]*cachedLayer)}
		config, err := x.read(bytes.NewReader(data), id)
		if err == nil && (DigestOf(config) != id || len(x.files) < 2) {
			t.Errorf("config %q, %d layers", config, len(x.files))
		}
		for _, l := range x.files {
			must(t, l.file.Close())
		}
		must(t, c.Close())
	})
}

func FuzzPrefix(f *testing.F) {
	f.Add(newSeedImage(f, 10, "a", "b").config, 1)
	f.Add([]byte(`{"rootfs":{"type":"layers","diff_ids":[]}}`), 0)
	f.Fuzz(func(t *testing.T, config []byte, n int) {
		b, err := Prefix(config, n)
		if err != nil {
			return
		}
		c, err := parseConfig(b)
		if err != nil || len(c.RootFS.DiffIDs) != n {
			t.Errorf("prefix %d of %q is %q: %v", n, config, b, err)
		}
	})
}

func FuzzProbeMissing(f *testing.F) {
	f.Add("open /x/ship/3-" + strings.Repeat("a", 64) + ": no such file or directory")
	f.Fuzz(func(t *testing.T, s string) {
		if n, ok := ProbeMissing(s); n < 0 || n > 9999 || !ok && n != 0 {
			t.Errorf("%d, %v", n, ok)
		}
	})
}
