package delta

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
)

// The zlib of the standard library packs as the linker of Go does, and only such parts are unpacked. Both ends of a
// transfer are built from one tree; where they were not, the target's digest tells.

// inflate unpacks a part.
func inflate(r io.ReaderAt, s span) ([]byte, error) {
	z, err := zlib.NewReader(io.NewSectionReader(r, s.at, s.packed))
	if err != nil {
		return nil, fmt.Errorf("unpack %d bytes at %d: %w", s.packed, s.at, err)
	}
	b := make([]byte, s.plain)
	if _, err := io.ReadFull(z, b); err != nil {
		return nil, fmt.Errorf("unpack %d bytes at %d: %w", s.packed, s.at, err)
	}
	return b, nil
}

// comparer fails where what is written is not what r has.
type comparer struct {
	r   io.ReaderAt
	at  int64
	buf []byte
}

func (c *comparer) Write(p []byte) (int, error) {
	c.buf = append(c.buf[:0], p...)
	if err := readFull(c.r, c.buf, c.at); err != nil {
		return 0, err
	}
	if !bytes.Equal(c.buf, p) {
		return 0, ErrMismatch
	}
	c.at += int64(len(p))
	return len(p), nil
}

// packsAgain tells whether a part, packed again, is what it was.
func packsAgain(r io.ReaderAt, s span) bool {
	b, err := inflate(r, s)
	if err != nil {
		return false
	}
	c := &comparer{r: r, at: s.at}
	z, err := zlib.NewWriterLevel(c, zlib.BestSpeed)
	if err != nil {
		return false
	}
	if _, err := z.Write(b); err != nil {
		return false
	}
	return z.Close() == nil && c.at == s.at+s.packed
}

// repacker packs the parts of a version again, which is written unpacked.
type repacker struct {
	w io.Writer
	layout
	done int64 // bytes that were written
	zlib *zlib.Writer
}

func (p *repacker) Write(b []byte) (int, error) {
	if len(p.spans) == 0 {
		return p.w.Write(b)
	}
	rest := b
	err := p.each(p.done, int64(len(b)), func(part int, at, n int64) error {
		piece := rest[:n]
		rest = rest[n:]
		if part < 0 {
			_, err := p.w.Write(piece)
			return err
		}
		return p.pack(piece, at, p.spans[part].plain)
	})
	p.done += int64(len(b) - len(rest))
	return len(b) - len(rest), err
}

func (p *repacker) pack(b []byte, at, size int64) error {
	if p.zlib == nil {
		var err error
		if p.zlib, err = zlib.NewWriterLevel(p.w, zlib.BestSpeed); err != nil {
			return err
		}
	} else if at == 0 {
		p.zlib.Reset(p.w)
	}
	if _, err := p.zlib.Write(b); err != nil {
		return err
	}
	if at+int64(len(b)) < size {
		return nil
	}
	return p.zlib.Close()
}
