package delta

import (
	"errors"
	"fmt"
	"io"
)

// aheadBytes is how much is read at least, since most copies are short and close to each other, while a read may have to
// find and open a file.
const aheadBytes = 16 << 10

// readAhead reads a base that is mostly wanted in order.
type readAhead struct {
	r    io.ReaderAt
	size int64
	at   int64 // of buf
	buf  []byte
}

// fill reads all of p, which lies within the size.
func (a *readAhead) fill(p []byte, off int64) error {
	if skip := off - a.at; skip >= 0 && skip < int64(len(a.buf)) {
		n := copy(p, a.buf[skip:])
		p, off = p[n:], off+int64(n)
	}
	if len(p) >= aheadBytes {
		return readFull(a.r, p, off)
	}
	if len(p) == 0 {
		return nil
	}
	if a.buf == nil {
		a.buf = make([]byte, aheadBytes)
	}
	a.at, a.buf = off, a.buf[:min(a.size-off, aheadBytes)]
	if err := readFull(a.r, a.buf, off); err != nil {
		a.buf = a.buf[:0]
		return err
	}
	copy(p, a.buf)
	return nil
}

// readFull reads all of p, or fails.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes at %d: %w", len(p), off, err)
}
