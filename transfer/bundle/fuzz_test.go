package bundle

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"testing"

	"ship/layers"
)

// FuzzHeader: what is read is written the same, and names nothing that is not there.
func FuzzHeader(f *testing.F) {
	img := seedImage(f, amd64, "shop:v1", layer{"a", 10}, layer{"b", 20})
	whole := bundled(f, source{img}, nil)
	part := bundled(f, source{img}, inventory(containerdHost("h1", amd64, img, 0)))
	f.Add(whole.header)
	f.Add(part.header)
	f.Add([]byte(`{"version":1,"platforms":[{}],"entries":[{"size":-1}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := parseHeader(raw)
		if err != nil {
			if !reflect.DeepEqual(h, Header{}) {
				t.Errorf("an error and %+v", h)
			}
			return
		}
		again, err := json.Marshal(h)
		must(t, err)
		if h2, err := parseHeader(again); err != nil || !reflect.DeepEqual(h, h2) {
			t.Errorf("%v: %+v is read again as %+v", err, h, h2)
		}
		l := newLayout(int64(len(raw)), h.Entries)
		for _, p := range l.places {
			if p.at < block || p.end() > l.sums || l.sums > l.total {
				t.Errorf("%+v in %+v", p, l)
			}
		}
	})
}

// FuzzOpen reads whatever bytes as a bundle. What comes out is whole.
func FuzzOpen(f *testing.F) {
	img := seedImage(f, amd64, "shop:v1", layer{"a", 10}, layer{"b", 20})
	whole := written(f, bundled(f, source{img}, nil))
	f.Add(whole, 0)
	f.Add(written(f, bundled(f, source{img}, inventory(containerdHost("h1", amd64, img, 0)))), 3000)
	f.Add(whole[:len(whole)-700], 1)
	f.Add(seedLayer(f, "x", 100), 0)
	f.Fuzz(func(t *testing.T, raw []byte, partSize int) {
		if partSize < 0 || partSize > 0 && len(raw)/partSize > maxParts {
			return
		}
		b, err := openBytes(raw, partSize)
		if err != nil {
			if b != nil {
				t.Error("an error and a file")
			}
			return
		}
		if err := b.Verify(t.Context(), nil); err != nil {
			return
		}
		for _, p := range b.Platforms() {
			img, err := b.Image(t.Context(), p)
			if err != nil {
				continue
			}
			for i, l := range img.Layers {
				r, err := img.Open(t.Context(), i)
				if err != nil {
					continue
				}
				var got bytes.Buffer
				if _, err := io.Copy(&got, r); err == nil && int64(got.Len()) != l.Blob.Size {
					t.Errorf("layer %d has %d bytes, not %d", i, got.Len(), l.Blob.Size)
				}
				_ = r.Close()
			}
		}
	})
}

// FuzzHostile reads bundles whose checksums fit, whatever their header says and whatever follows it: all that somebody
// who means harm can bring. No blob of theirs may come out that is not what the image's config names.
func FuzzHostile(f *testing.F) {
	img := seedImage(f, amd64, "shop:v1", layer{"a", 10}, layer{"b", 20})
	for _, inv := range []*Inventory{nil, inventory(containerdHost("h1", amd64, img, 0))} {
		b := bundled(f, source{img}, inv)
		f.Add(b.header, written(f, b)[b.layout.places[0].end():b.layout.sums])
	}
	f.Fuzz(func(t *testing.T, header, body []byte) {
		raw := consistent(t, header, body)
		b, err := openBytes(raw, 0)
		if err != nil {
			return
		}
		whole := b.Verify(t.Context(), nil) == nil
		for _, p := range b.Platforms() {
			img, err := b.Image(t.Context(), p)
			if err != nil {
				continue
			}
			for i, l := range img.Layers {
				r, err := img.Open(t.Context(), i)
				if err != nil {
					continue
				}
				got, err := io.ReadAll(r)
				if err == nil && layers.DigestOf(got) != l.Blob.Digest || err != nil && whole {
					t.Errorf("layer %d: verified %t, %v", i, whole, err)
				}
				_ = r.Close()
			}
		}
	})
}

// consistent puts checksums and an end record behind a header and whatever follows it.
func consistent(t testing.TB, header, body []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	s := newSummer(&out)
	must(t, writeEntry(s, headerName, int64(len(header)), bytes.NewReader(header)))
	_, err := s.Write(body)
	must(t, err)
	covered, all := s.n, s.finish()
	end, err := tail(newEnd(covered, header, all), all)
	must(t, err)
	return append(out.Bytes(), end...)
}

// FuzzInventory: what is read is written the same.
func FuzzInventory(f *testing.F) {
	img := seedImage(f, amd64, "shop:v1", layer{"a", 10}, layer{"b", 20})
	var b bytes.Buffer
	must(f, inventory(graphHost("h1", amd64, false, img), containerdHost("h2", arm64, img, 0)).Write(&b))
	f.Add(b.Bytes())
	f.Add([]byte(`{"version":1,"hosts":[{"name":"x"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := ReadInventory(bytes.NewReader(raw))
		if err != nil {
			return
		}
		var again bytes.Buffer
		must(t, v.Write(&again))
		if _, err := ReadInventory(&again); err != nil {
			t.Error(err)
		}
		for _, h := range v.Hosts {
			h.Held(img).Missing(img)
		}
	})
}
