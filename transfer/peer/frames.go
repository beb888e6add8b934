package peer

import (
	"encoding/binary"
	"fmt"

	"ship/transfer/chunk"
	"ship/transfer/wire"
)

// What nodes say to each other. A request is answered by exactly one chunk or miss, also when it was cancelled.
const (
	kindHello   wire.Kind = 1 // version, big-endian uint32; first, in both directions
	kindHave    wire.Kind = 2 // blob, then indexes
	kindMap     wire.Kind = 3 // blob, first index (a multiple of 64), then words: the lowest bit is the lowest index
	kindRequest wire.Kind = 4 // a chunk without data
	kindChunk   wire.Kind = 5 // a chunk
	kindMiss    wire.Kind = 6 // a chunk without data: it will not come
	kindCancel  wire.Kind = 7 // a chunk without data: no longer needed
	kindPing    wire.Kind = 8 // nothing
)

// key names a chunk.
type key struct {
	blob  uint32
	index int
}

// frame is something to send.
type frame struct {
	kind    wire.Kind
	payload []byte
}

func helloFrame() frame {
	return frame{kindHello, binary.BigEndian.AppendUint32(nil, wire.Version)}
}

func keyFrame(kind wire.Kind, k key) frame {
	p := binary.BigEndian.AppendUint32(nil, k.blob)
	return frame{kind, binary.BigEndian.AppendUint32(p, uint32(k.index))}
}

// manyNews is from how many chunks on a bitmap says them, whose length does not depend on their number.
const manyNews = 128

// newsFrame says which chunks of a blob are held that were not told, and notes in told that they were.
func newsFrame(blob uint32, held set, told *set) (frame, bool) {
	told.grow(len(held))
	first, last, n := -1, 0, 0
	for w := range held {
		if news := held[w] &^ (*told)[w]; news != 0 {
			each(w, news, func(int) { n++ })
			if last = w; first < 0 {
				first = w
			}
		}
	}
	if n == 0 {
		return frame{}, false
	}
	p := binary.BigEndian.AppendUint32(nil, blob)
	kind := kindHave
	if n >= manyNews {
		kind = kindMap
		p = binary.BigEndian.AppendUint32(p, uint32(first*wordBits))
	}
	for w := first; w <= last; w++ {
		if kind == kindMap {
			p = binary.BigEndian.AppendUint64(p, held[w])
		} else {
			each(w, held[w]&^(*told)[w], func(i int) { p = binary.BigEndian.AppendUint32(p, uint32(i)) })
		}
		(*told)[w] = held[w]
	}
	return frame{kind, p}, true
}

func parseHello(p []byte) error {
	if len(p) != 4 {
		return fmt.Errorf("%w: hello of %d bytes", wire.ErrFrame, len(p))
	}
	if v := binary.BigEndian.Uint32(p); v != wire.Version {
		return fmt.Errorf("%w: it speaks version %d, this is %d", wire.ErrFrame, v, wire.Version)
	}
	return nil
}

func parseKey(p []byte) (key, []byte, error) {
	c, err := wire.ParseChunk(p)
	if err == nil && (c.Index >= chunk.MaxChunks || len(c.Data) > chunk.Size) {
		err = fmt.Errorf("%w: chunk %d of %d bytes", wire.ErrFrame, c.Index, len(c.Data))
	}
	return key{c.Blob, int(c.Index)}, c.Data, err
}

// parseNews reads a have or a map into a set.
func parseNews(kind wire.Kind, p []byte) (blob uint32, s set, err error) {
	bad := fmt.Errorf("%w: news of %d bytes", wire.ErrFrame, len(p))
	if len(p) < 4 {
		return 0, nil, bad
	}
	blob, p = binary.BigEndian.Uint32(p), p[4:]
	if kind == kindHave {
		if len(p)%4 != 0 {
			return 0, nil, bad
		}
		for ; len(p) > 0; p = p[4:] {
			i := binary.BigEndian.Uint32(p)
			if i >= chunk.MaxChunks {
				return 0, nil, bad
			}
			s.add(int(i))
		}
		return blob, s, nil
	}
	if len(p) < 4 || len(p)%8 != 4 {
		return 0, nil, bad
	}
	first := binary.BigEndian.Uint32(p)
	p = p[4:]
	if first%wordBits != 0 || uint64(first)+uint64(len(p))*8 > chunk.MaxChunks {
		return 0, nil, bad
	}
	s.grow(int(first)/wordBits + len(p)/8)
	for w := int(first) / wordBits; len(p) > 0; p, w = p[8:], w+1 {
		s[w] = binary.BigEndian.Uint64(p)
	}
	return blob, s, nil
}
