package bundle

import (
	"archive/tar"
	"bytes"
	"fmt"
)

// explain says what is wrong with a file whose end is not that of a bundle, by looking at its beginning. Nothing that
// it reads there is used for anything else.
func (f *File) explain() error {
	size, err := f.headerSize()
	if err != nil {
		return &ForeignError{f.data.path, err.Error()}
	}
	have := f.data.size
	last, at := f.data.place(have)
	if have < block+size {
		return &TruncatedError{File: last, Have: at, Where: "the header"}
	}
	raw := make([]byte, size)
	if _, err := f.data.ReadAt(raw, block); err != nil {
		return err
	}
	h, err := parseHeader(raw)
	if err != nil {
		return f.damage(0, block+size, fmt.Sprintf("the header (%v), and at its end", err))
	}
	l := newLayout(size, h.Entries)
	switch {
	case have < l.total:
		where := "the list of checksums"
		if cut := l.overlapping(have, have+1); len(cut) > 0 {
			where = h.name(cut[0])
		}
		if len(f.data.parts) > 1 {
			where += fmt.Sprintf(" (%d parts are there)", len(f.data.parts))
		}
		return &TruncatedError{File: f.data.path, Have: have, Want: l.total, Where: where}
	case have > l.total:
		return f.damage(l.total, have-l.total, "what follows behind its end")
	}
	return f.damage(l.total-endSize, endSize, "the end record")
}

// headerSize reads the tar header in front of the bundle's header.
func (f *File) headerSize() (int64, error) {
	first := make([]byte, min(block, f.data.size))
	if _, err := f.data.ReadAt(first, 0); err != nil {
		return 0, err
	}
	if len(first) == 0 {
		return 0, fmt.Errorf("it is empty")
	}
	h, err := tar.NewReader(bytes.NewReader(first)).Next()
	switch {
	case err != nil || h.Name != headerName:
		return 0, fmt.Errorf("it does not begin with %s", headerName)
	case h.Size <= 0 || h.Size > maxHeader:
		return 0, fmt.Errorf("its header has %d bytes", h.Size)
	}
	return h.Size, nil
}
