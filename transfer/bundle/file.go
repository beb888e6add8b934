package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"ship/layers"
)

// File is a bundle that is read. It is a layers.Source. Every byte that comes out of it was compared with its checksum.
type File struct {
	Header Header

	data   *joined
	layout layout
	sums   sums
}

// Open opens a bundle, joining its parts if it was split. It finds out whether the file is whole, and checks its header
// and checksums; what lies between is checked when it is read, or by Verify. The error is a *ForeignError, a
// *TruncatedError, a *DamageError or one of the file system.
func Open(path string) (*File, error) {
	data, err := openJoined(path)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	return openBundle(data)
}

func openBundle(data *joined) (*File, error) {
	f := &File{data: data}
	if err := f.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("open bundle: %w", err), data.Close())
	}
	return f, nil
}

// Size is how many bytes the bundle has, in all parts.
func (f *File) Size() int64 { return f.data.size }

// Parts is the number of files that the bundle was split into.
func (f *File) Parts() int { return len(f.data.parts) }

// Close closes the file. Images of it cannot be opened afterwards.
func (f *File) Close() error { return f.data.Close() }

// read begins at the end: where that is as it was written, nothing is missing.
func (f *File) read() error {
	raw := make([]byte, min(endSize, f.data.size))
	if _, err := f.data.ReadAt(raw, f.data.size-int64(len(raw))); err != nil {
		return err
	}
	end, err := parseEnd(raw)
	if err != nil || end.SumsOffset+tailSize(end.SumsOffset) != f.data.size {
		return f.explain()
	}
	f.layout.sums = end.SumsOffset
	if err := f.readSums(end); err != nil {
		return err
	}
	header, err := f.readHeader(end)
	if err != nil {
		return err
	}
	if f.Header, err = parseHeader(header); err != nil {
		return &ForeignError{f.data.path, "its header: " + err.Error()}
	}
	if f.layout = newLayout(end.HeaderSize, f.Header.Entries); f.layout.sums != end.SumsOffset {
		return &ForeignError{f.data.path, "its header does not describe it"}
	}
	return nil
}

func (f *File) readSums(end endRecord) error {
	size := chunks(end.SumsOffset) * sumLine
	got := make([]byte, tailSize(end.SumsOffset))
	if _, err := f.data.ReadAt(got, end.SumsOffset); err != nil {
		return err
	}
	var err error
	if f.sums, err = parseSums(got[block : block+size]); err != nil || end.SumsSum != layers.DigestOf(got[block:block+size]) {
		return f.damage(end.SumsOffset, int64(len(got)), "the list of checksums")
	}
	want, err := tail(end, f.sums)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return f.damage(end.SumsOffset, int64(len(got)), "the tar headers or the padding of the list of checksums")
	}
	return nil
}

func (f *File) readHeader(end endRecord) ([]byte, error) {
	header := make([]byte, min(end.HeaderSize, end.SumsOffset-block))
	if _, err := f.data.ReadAt(header, block); err != nil {
		return nil, err
	}
	if int64(len(header)) == end.HeaderSize && layers.DigestOf(header) == end.HeaderSum {
		return header, nil
	}
	// The checksums were right: they tell which of the two was hit.
	for k := range chunks(block + int64(len(header))) {
		if b, err := f.rawChunk(k, nil); err != nil || !f.sums.fit(k, b) {
			return nil, errors.Join(f.damage(block, int64(len(header)), "the header"), err)
		}
	}
	return nil, f.damage(f.data.size-endSize, endSize, "the end record")
}

// damage is the error of a stretch of the file.
func (f *File) damage(offset, length int64, where string) *DamageError {
	name, at := f.data.place(offset)
	return &DamageError{File: name, Offset: at, Length: length, Where: where}
}

// chunk reads chunk k, into buf if it is large enough, and compares it with its checksum.
func (f *File) chunk(k int64, buf []byte) ([]byte, error) {
	b, err := f.rawChunk(k, buf)
	if err == nil && f.sums.fit(k, b) {
		return b, nil
	}
	d := f.damage(k*chunkSize, int64(len(b)), f.hit(k))
	d.Err = err
	return nil, d
}

func (f *File) rawChunk(k int64, buf []byte) ([]byte, error) {
	n := int(min(chunkSize, f.layout.sums-k*chunkSize))
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	_, err := f.data.ReadAt(buf[:n], k*chunkSize)
	return buf[:n], err
}

// section reads a stretch of the file, checked chunk by chunk.
type section struct {
	file    *File
	at, end int64
	chunk   []byte // that at is in; its length is 0 before it is read
	number  int64
	err     error
}

func (f *File) section(at, size int64) *section { return &section{file: f, at: at, end: at + size} }

func (s *section) Read(b []byte) (int, error) {
	if s.err == nil && s.at >= s.end {
		s.err = io.EOF
	}
	if k := s.at / chunkSize; s.err == nil && (len(s.chunk) == 0 || k != s.number) {
		s.number = k
		s.chunk, s.err = s.file.chunk(k, s.chunk)
	}
	if s.err != nil {
		return 0, s.err
	}
	from := s.at - s.number*chunkSize
	n := copy(b, s.chunk[from:min(int64(len(s.chunk)), s.end-s.number*chunkSize)])
	s.at += int64(n)
	return n, nil
}

func (s *section) Close() error {
	if s.err == nil {
		s.err = errors.New("read bundle: closed")
	}
	s.chunk = nil
	return nil
}
