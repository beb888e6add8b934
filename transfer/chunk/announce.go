package chunk

import (
	"crypto/sha256"
	"fmt"
)

// Announce says the digests of chunks first and following, and tells which of them are held. Chunks of an earlier run
// are, if they are recorded with that digest and their bytes still have it: those are read again here, at the speed of
// the disk. Announced again, a chunk must have the same digest.
func (b *Blob) Announce(first int, sums []Sum) (have []bool, err error) {
	b.announcing.Lock()
	defer b.announcing.Unlock()
	fresh, err := b.unknown(first, sums)
	if err != nil {
		return nil, err
	}
	start := first + len(sums) - len(fresh)
	lengths := make([]int32, len(fresh))
	var buf []byte
	for i, sum := range fresh {
		if r, ok := b.recorded(start + i); ok && r.sum == sum {
			if buf == nil {
				buf = make([]byte, Size)
			}
			if b.hashes(start+i, r, buf) {
				lengths[i] = int32(r.length)
			}
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, ErrClosed
	}
	b.sums = append(b.sums, fresh...)
	b.lengths = append(b.lengths, lengths...)
	have = make([]bool, len(sums))
	for i := range sums {
		have[i] = b.lengths[first+i] > 0
		if first+i >= start && have[i] {
			b.count++
		}
	}
	b.wake()
	return have, nil
}

// unknown checks what is announced and returns what of it is new.
func (b *Blob) unknown(first int, sums []Sum) ([]Sum, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, ErrClosed
	}
	if first < 0 || first > len(b.sums) {
		return nil, fmt.Errorf("chunk %d is announced after %d chunks", first, len(b.sums))
	}
	for i, sum := range sums {
		switch {
		case first+i < len(b.sums):
			if b.sums[first+i] != sum {
				return nil, fmt.Errorf("chunk %d is announced with another digest", first+i)
			}
		case b.finished:
			return nil, fmt.Errorf("chunk %d is announced for a blob of %d chunks", first+i, len(b.sums))
		case first+len(sums) > MaxChunks:
			return nil, fmt.Errorf("blob of more than %d chunks", MaxChunks)
		default:
			return sums[i:], nil
		}
	}
	return nil, nil
}

func (b *Blob) recorded(i int) (record, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.old[i]
	return r, ok
}

// hashes tells whether the bytes on the disk are what their record says.
func (b *Blob) hashes(i int, r record, buf []byte) bool {
	p := buf[:r.length]
	n, _ := b.data.ReadAt(p, int64(i)*Size) // what cannot be read is not there
	return n == len(p) && sha256.Sum256(p) == r.sum
}
