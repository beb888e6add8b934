package delta

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

const (
	// maxSpans bounds the packed parts of a version.
	maxSpans = 64
	// maxUnpacked bounds them unpacked, together, in bytes: Apply holds those of the base in memory.
	maxUnpacked = 16 << 20
)

// span is a packed part of a version, in bytes.
type span struct{ at, packed, plain int64 }

// layout is a version with its packed parts, in order.
type layout struct {
	size  int64 // of the version
	spans []span
}

// plainSize is the size with all parts unpacked.
func (l *layout) plainSize() int64 {
	n := l.size
	for _, s := range l.spans {
		n += s.plain - s.packed
	}
	return n
}

// each calls f with the pieces of what is at off in the unpacked version, n bytes long: with the part they lie in, or -1,
// and the offset in that part or in the version.
func (l *layout) each(off, n int64, f func(part int, at, n int64) error) error {
	end := off + n
	begin, from := int64(0), int64(0) // of what lies before the next part: unpacked, in the version
	for i := 0; i <= len(l.spans) && off < end; i++ {
		s := span{at: l.size}
		if i < len(l.spans) {
			s = l.spans[i]
		}
		if next := begin + s.at - from; off < next {
			step := min(end, next) - off
			if err := f(-1, from+off-begin, step); err != nil {
				return err
			}
			off += step
		}
		begin += s.at - from
		if off >= begin && off < begin+s.plain && off < end {
			step := min(end, begin+s.plain) - off
			if err := f(i, off-begin, step); err != nil {
				return err
			}
			off += step
		}
		begin, from = begin+s.plain, s.at+s.packed
	}
	return nil
}

func (l *layout) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(l.spans)))
	end := int64(0)
	for _, s := range l.spans {
		b = binary.AppendUvarint(b, uint64(s.at-end))
		b = binary.AppendUvarint(b, uint64(s.packed))
		b = binary.AppendUvarint(b, uint64(s.plain))
		end = s.at + s.packed
	}
	return b
}

// readLayout reads the packed parts of a version of that size.
func readLayout(r *bufio.Reader, size int64) (layout, error) {
	count, err := readNumber(r, ErrPatch, maxSpans)
	if err != nil {
		return layout{}, err
	}
	l := layout{size: size}
	end, unpacked := int64(0), int64(0)
	for range count {
		gap, err := readNumber(r, ErrPatch, size-end)
		if err != nil {
			return layout{}, err
		}
		packed, err := readNumber(r, ErrPatch, size-end-gap)
		if err != nil {
			return layout{}, err
		}
		plain, err := readNumber(r, ErrPatch, maxUnpacked-unpacked)
		if err != nil {
			return layout{}, err
		}
		l.spans = append(l.spans, span{end + gap, packed, plain})
		end += gap + packed
		unpacked += plain
	}
	return l, nil
}

// readNumber reads a uvarint of at most most.
func readNumber(r *bufio.Reader, bad error, most int64) (n int64, err error) {
	for shift := 0; shift < 63; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, cutError(bad, "read number", err)
		}
		if n |= int64(b&0x7f) << shift; n > most {
			break
		}
		if b < 0x80 {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%w: %d or more in place of %d at most", bad, n, most)
}

// unpackedReader is a version with its packed parts unpacked. It is safe for concurrent use.
type unpackedReader struct {
	r     io.ReaderAt
	parts [][]byte
	layout
}

// newUnpackedReader unpacks the parts.
func newUnpackedReader(r io.ReaderAt, l layout) (*unpackedReader, error) {
	u := &unpackedReader{r: r, layout: l}
	for _, s := range l.spans {
		b, err := inflate(r, s)
		if err != nil {
			return nil, err
		}
		u.parts = append(u.parts, b)
	}
	return u, nil
}

func (u *unpackedReader) ReadAt(p []byte, off int64) (n int, err error) {
	if len(u.spans) == 0 {
		return u.r.ReadAt(p, off)
	}
	err = u.each(off, int64(len(p)), func(part int, at, length int64) error {
		got, err := int(length), error(nil)
		if part < 0 {
			got, err = u.r.ReadAt(p[n:n+int(length)], at)
			if got == int(length) {
				err = nil
			}
		} else {
			copy(p[n:], u.parts[part][at:at+length])
		}
		n += got
		return err
	})
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// sortSpans puts them in order.
func sortSpans(s []span) {
	slices.SortFunc(s, func(a, b span) int { return int(min(1, max(-1, a.at-b.at))) })
}
