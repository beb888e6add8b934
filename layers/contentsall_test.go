package layers

import (
	"maps"
	"testing"
)

func TestAllBlobs(t *testing.T) {
	s := newSeedImage(t, 20<<10, "unpacked", "pulled", "plain", "foreign")
	var m memoryStore
	unpacked := m.add(packed(t, s.plain[0], Zstd), map[string]string{labelUncompressed: string(s.ids[0])})
	pulled := m.add(packed(t, s.plain[1], Gzip), nil)
	plain := m.add(s.plain[2], nil)
	config := m.add(s.config, nil)
	m.add([]byte("{}"), map[string]string{labelConfig: string(config), labelLayer + "0": string(unpacked), labelLayer + "1": string(pulled),
		labelLayer + "2": string(plain), labelLayer + "3": string(DigestOf([]byte("not there")))})
	m.add([]byte("{ }"), map[string]string{labelUncompressed: "sha256:junk"})
	m.add([]byte("text"), nil)
	m.list = append(m.list, Content{Digest: "sha256:bad", Size: -1})
	got, err := AllBlobs(t.Context(), m.list, m.read)
	must(t, err)
	want := map[DiffID]Blob{
		s.ids[0]: {Digest: unpacked, Size: int64(len(m.bytes[string(unpacked)])), Compression: Zstd},
		s.ids[1]: {Digest: pulled, Size: int64(len(m.bytes[string(pulled)])), Compression: Gzip},
		s.ids[2]: {Digest: plain, Size: int64(len(s.plain[2]))},
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}
