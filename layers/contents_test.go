package layers

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"sync/atomic"
	"testing"
)

// memoryStore is a content store's list and its bytes.
type memoryStore struct {
	list  []Content
	bytes map[string][]byte
	reads atomic.Int32
}

func (m *memoryStore) add(b []byte, labels map[string]string) Digest {
	if m.bytes == nil {
		m.bytes = make(map[string][]byte)
	}
	d := DigestOf(b)
	m.bytes[string(d)] = b
	m.list = append(m.list, Content{Digest: string(d), Size: int64(len(b)), Labels: labels})
	return d
}

func (m *memoryStore) read(_ context.Context, d string) (io.ReadCloser, error) {
	m.reads.Add(1)
	b, ok := m.bytes[d]
	if !ok {
		return nil, errors.New("not found")
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func TestBlobsOf(t *testing.T) {
	s := newSeedImage(t, 20<<10, "plain", "unpacked", "pulled", "missing", "twice")
	var m memoryStore
	label := func(i int) map[string]string { return map[string]string{labelUncompressed: string(s.ids[i])} }
	m.add(s.plain[0], nil)
	m.add(packed(t, s.plain[0], Gzip), label(0)) // the plain one needs no look inside
	unpacked := m.add(packed(t, s.plain[1], Zstd), label(1))
	pulled := m.add(packed(t, s.plain[2], Gzip), nil)
	m.add(packed(t, s.plain[4], Gzip), label(4))
	small := m.add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0}, label(4))
	config := m.add(s.config, nil)
	m.add([]byte("{}"), map[string]string{labelConfig: string(config), labelLayer + "2": string(pulled), labelLayer + "3": "sha256:x", labelLayer + "z": ""})
	m.add([]byte("{ }"), map[string]string{labelConfig: "sha256:" + s.ids[0].Hex()[:63] + "z"})
	for range 300 {
		m.list = append(m.list, Content{Digest: "sha256:bad", Size: -1})
	}
	got, err := BlobsOf(t.Context(), m.list, m.read, append(s.ids, s.ids[0]))
	must(t, err)
	want := map[DiffID]Blob{
		s.ids[0]: {Digest: Digest(s.ids[0]), Size: int64(len(s.plain[0]))},
		s.ids[1]: {Digest: unpacked, Size: int64(len(m.bytes[string(unpacked)])), Compression: Zstd},
		s.ids[2]: {Digest: pulled, Size: int64(len(m.bytes[string(pulled)])), Compression: Gzip},
		s.ids[4]: {Digest: small, Size: 5, Compression: Zstd},
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if n := m.reads.Load(); n > 4 { // one a compressed blob, one a config
		t.Errorf("%d reads", n)
	}
}

func TestBlobsOfABrokenStore(t *testing.T) {
	s := newSeedImage(t, 10, "a")
	m := memoryStore{list: []Content{{Digest: string(DigestOf([]byte("gone"))), Size: 9, Labels: map[string]string{labelUncompressed: string(s.ids[0])}}}}
	if got, err := BlobsOf(t.Context(), m.list, m.read, s.ids); err == nil || got != nil {
		t.Errorf("got %v, %v", got, err)
	}
}
