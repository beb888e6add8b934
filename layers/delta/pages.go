package delta

import "io"

const (
	pageBytes = 128 << 10
	pageSlots = 128
)

// pages gives slices of a base that is wanted at many places, and keeps those it read last: 16 MB. It is for one
// goroutine.
type pages struct {
	r     io.ReaderAt
	size  int64
	over  int // a page holds so many bytes of the next one, so that a block never lies across two
	err   error
	slots [pageSlots]page
	few   []byte
}

type page struct {
	number int64 // +1; 0 = nothing yet
	data   []byte
}

func newPages(r io.ReaderAt, size int64, over int) *pages {
	return &pages{r: r, size: size, over: over, few: make([]byte, over)}
}

// load returns a page, or an empty one after an error, which stays in err.
func (p *pages) load(number int64) []byte {
	s := &p.slots[number%pageSlots]
	if s.number == number+1 {
		return s.data
	}
	if s.data == nil {
		s.data = make([]byte, pageBytes+p.over)
	}
	begin := number * pageBytes
	s.number, s.data = number+1, s.data[:min(p.size-begin, int64(pageBytes+p.over))]
	if err := readFull(p.r, s.data, begin); err != nil {
		if p.err == nil {
			p.err = err
		}
		s.data = s.data[:0]
	}
	return s.data
}

// from returns bytes of the base from off on: at least over of them, if there are so many.
func (p *pages) from(off int64) []byte {
	if off < 0 || off >= p.size {
		return nil
	}
	data, skip := p.load(off/pageBytes), int(off%pageBytes)
	return data[min(skip, len(data)):]
}

// before returns bytes that end where off begins: at least one of them, if there is one.
func (p *pages) before(off int64) []byte {
	if off <= 0 || off > p.size {
		return nil
	}
	number := (off - 1) / pageBytes
	data := p.load(number)
	return data[:min(int(off-number*pageBytes), len(data))]
}

// has tells whether the base has these bytes at off, at most over of them. A page that is not at hand is not read for
// that: most answers are no.
func (p *pages) has(off int64, want []byte) bool {
	if number := off / pageBytes; p.slots[number%pageSlots].number == number+1 {
		b := p.from(off)
		return len(b) >= len(want) && string(b[:len(want)]) == string(want)
	}
	few := p.few[:len(want)]
	if err := readFull(p.r, few, off); err != nil {
		if p.err == nil {
			p.err = err
		}
		return false
	}
	return string(few) == string(want)
}
