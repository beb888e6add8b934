package delta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// described is a base of which only the signature is here.
type described struct {
	size   int64
	parts  int64
	heads  map[uint64]head  // by headKey
	exact  map[uint64]int64 // offsets, by headKey
	wholes map[uint64]content
	blocks []*blockIndex // one for each size of blocks
}

// head is a header in the base.
type head struct {
	at, size int64
	mtime    [mtimeBytes]byte
	whole    uint64 // digest of the file; 0 = it has none
}

// content is a piece of the base.
type content struct{ at, length int64 }

// readSignature reads a whole signature. What is none is ErrSignature.
func readSignature(r io.Reader) (*described, error) {
	magic := make([]byte, len(sigMagic))
	if _, err := io.ReadFull(r, magic); err != nil {
		return nil, cutError(ErrSignature, "read magic", err)
	}
	if string(magic) != sigMagic {
		return nil, fmt.Errorf("%w: it begins with %q", ErrSignature, magic)
	}
	segments, err := newSegmentReader(r, ErrSignature)
	if err != nil {
		return nil, err
	}
	defer segments.close()
	d := &described{heads: make(map[uint64]head), exact: make(map[uint64]int64), wholes: make(map[uint64]content)}
	for {
		s, err := segments.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := d.add(*s); err != nil {
			return nil, err
		}
	}
	for _, x := range d.blocks {
		x.build()
	}
	return d, nil
}

// add takes all records of a segment. They use up its columns.
func (d *described) add(s segment) error {
	for len(s[recordColumn]) > 0 {
		x, n := binary.Uvarint(s[recordColumn])
		size := int64(x >> 2)
		if n <= 0 || size > maxSize || d.size > maxSize {
			return fmt.Errorf("%w: record of %d bytes", ErrSignature, size)
		}
		s[recordColumn] = s[recordColumn][n:]
		if d.parts++; d.parts > maxParts {
			return fmt.Errorf("%w: more than %d records", ErrSignature, maxParts)
		}
		if err := d.record(&s, record(x&3), size); err != nil {
			return err
		}
	}
	if n := s.size(); n > 0 {
		return fmt.Errorf("%w: %d bytes to spare", ErrSignature, n)
	}
	return nil
}

func (d *described) record(s *segment, r record, size int64) error {
	switch r {
	case lostRecord:
		d.size += size
		return nil
	case looseRecord:
		_, err := d.content(s, size)
		return err
	}
	sum, err := take(&s[digestColumn], headBytes)
	if err != nil {
		return err
	}
	key := binary.BigEndian.Uint64(append([]byte{0, 0}, sum...))
	if r == exactRecord {
		d.exact[key] = d.size
		d.size += tarBlock
		return nil
	}
	mtime, err := take(&s[mtimeColumn], mtimeBytes)
	if err != nil {
		return err
	}
	h := head{at: d.size, size: size, mtime: [mtimeBytes]byte(mtime)}
	d.size += tarBlock
	if h.whole, err = d.content(s, contentLength(size)); err != nil {
		return err
	}
	if _, twice := d.heads[key]; !twice {
		d.heads[key] = h
	}
	return nil
}

// content takes the digests of content, and returns that of the whole if there is one.
func (d *described) content(s *segment, length int64) (whole uint64, err error) {
	if length > mostCut {
		return 0, fmt.Errorf("%w: content of %d bytes", ErrSignature, length)
	}
	if size := blockSize(length); size > 0 {
		sums, err := take(&s[digestColumn], int(blockCount(length))*blockBytes)
		if err != nil {
			return 0, err
		}
		if err := d.index(size).add(sums, content{d.size, length}); err != nil {
			return 0, err
		}
	}
	if length > 0 && length <= mostWhole {
		sum, err := take(&s[digestColumn], wholeBytes)
		if err != nil {
			return 0, err
		}
		whole = binary.BigEndian.Uint64(sum)
		if _, twice := d.wholes[whole]; !twice {
			d.wholes[whole] = content{d.size, length}
		}
	}
	d.size += length
	return whole, nil
}

func (d *described) index(size int) *blockIndex {
	for _, x := range d.blocks {
		if x.size == size {
			return x
		}
	}
	x := &blockIndex{size: size, roll: newRoller(size)}
	d.blocks = append(d.blocks, x)
	slices.SortFunc(d.blocks, func(a, b *blockIndex) int { return b.size - a.size })
	return x
}

func take(b *[]byte, n int) ([]byte, error) {
	if n > len(*b) {
		return nil, fmt.Errorf("%w: %d bytes in place of %d", ErrSignature, len(*b), n)
	}
	out := (*b)[:n]
	*b = (*b)[n:]
	return out, nil
}
