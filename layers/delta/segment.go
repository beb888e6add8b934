package delta

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

const (
	// maxSegment bounds the columns of a segment together, in bytes: what both ends hold in memory.
	maxSegment = 4 << 20
	// maxOp is the longest encoding of an operation.
	maxOp = binary.MaxVarintLen64
)

// column numbers the columns of a segment.
type column int

const (
	opColumn column = iota
	diffColumn
	literalColumn
	columns
)

// segment is a part of the three columns.
type segment [columns][]byte

func (s *segment) size() (n int) {
	for _, c := range s {
		n += len(c)
	}
	return n
}

// A segment is written as two lengths for each column, unpacked and packed, as uvarint, then the packed columns. A
// column as long packed as unpacked is stored as it is. No lengths at all but zeros end a patch.

// segmentWriter packs operations into segments.
type segmentWriter struct {
	w    io.Writer
	size int64 // bytes written
	raw  segment
	last op // not in raw yet: the next one may lengthen it
	// best packs operations and differences, which are few; better packs literals in a third of the time.
	best, better *zstd.Encoder
}

func newSegmentWriter(w io.Writer) (s *segmentWriter, err error) {
	s = &segmentWriter{w: w}
	if s.best, err = newEncoder(zstd.SpeedBestCompression); err != nil {
		return nil, err
	}
	s.better, err = newEncoder(zstd.SpeedBetterCompression)
	return s, err
}

func newEncoder(level zstd.EncoderLevel) (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(maxSegment), zstd.WithEncoderCRC(false)) // the target's digest covers all
}

func (s *segmentWriter) write(p []byte) error {
	n, err := s.w.Write(p)
	s.size += int64(n)
	return err
}

// add appends an operation and its bytes; bytes is nil for copy and move.
func (s *segmentWriter) add(o op, bytes []byte) error {
	c := literalColumn
	if o.kind == differ {
		c = diffColumn
	}
	for o.n != 0 {
		if s.raw.size()+2*maxOp >= maxSegment {
			if err := s.flush(); err != nil {
				return err
			}
		}
		step := o
		if bytes != nil {
			step.n = min(o.n, int64(maxSegment-s.raw.size()-2*maxOp))
			s.raw[c] = append(s.raw[c], bytes[:step.n]...)
			bytes = bytes[step.n:]
		}
		if s.last.kind == step.kind {
			s.last.n += step.n
		} else {
			s.settle()
			s.last = step
		}
		o.n -= step.n
	}
	return nil
}

// settle ends the last operation.
func (s *segmentWriter) settle() {
	if s.last.n != 0 {
		s.raw[opColumn] = appendOp(s.raw[opColumn], s.last)
	}
	s.last.n = 0
}

// flush writes the segment, if there is any.
func (s *segmentWriter) flush() error {
	s.settle()
	if s.raw.size() == 0 {
		return nil
	}
	var head []byte
	var packed segment
	for i, c := range s.raw {
		z := s.best
		if column(i) == literalColumn {
			z = s.better
		}
		packed[i] = z.EncodeAll(c, nil)
		if len(packed[i]) >= len(c) {
			packed[i] = c
		}
		head = binary.AppendUvarint(head, uint64(len(c)))
		head = binary.AppendUvarint(head, uint64(len(packed[i])))
	}
	for _, p := range append([][]byte{head}, packed[:]...) {
		if err := s.write(p); err != nil {
			return fmt.Errorf("write patch: %w", err)
		}
	}
	for i := range s.raw {
		s.raw[i] = s.raw[i][:0]
	}
	return nil
}

// finish writes what is left, and the end of the patch.
func (s *segmentWriter) finish() error {
	if err := s.flush(); err != nil {
		return err
	}
	if err := s.write(make([]byte, 2*columns)); err != nil {
		return fmt.Errorf("write patch: %w", err)
	}
	return nil
}

// segmentReader reads segments again.
type segmentReader struct {
	r      *bufio.Reader
	raw    segment
	space  []byte // that raw lies in
	packed []byte
	unpack *zstd.Decoder
}

func newSegmentReader(r io.Reader) (*segmentReader, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxSegment), zstd.WithDecoderMaxWindow(maxSegment))
	if err != nil {
		return nil, err
	}
	return &segmentReader{r: bufio.NewReader(r), unpack: d}, nil
}

func (s *segmentReader) close() { s.unpack.Close() }

// next reads the next segment, which is good until the call after. At the end of the patch, and only if that is the end
// of the stream too, it returns io.EOF.
func (s *segmentReader) next() (*segment, error) {
	var raw, packed [columns]int
	sum := 0
	for i := range raw {
		var err error
		if raw[i], err = s.length(); err == nil {
			packed[i], err = s.length()
		}
		if err != nil {
			return nil, err
		}
		sum += raw[i]
		if packed[i] > raw[i] || raw[i] > 0 && packed[i] == 0 {
			return nil, fmt.Errorf("%w: column of %d bytes in %d", ErrPatch, raw[i], packed[i])
		}
	}
	switch {
	case sum > maxSegment:
		return nil, fmt.Errorf("%w: segment of %d bytes", ErrPatch, sum)
	case sum == 0:
		return nil, s.end()
	}
	if len(s.space) < sum {
		s.space = make([]byte, sum)
	}
	space := s.space
	for i, n := range raw {
		var err error
		if s.raw[i], err = s.column(space[:0:n], packed[i]); err != nil {
			return nil, err
		}
		space = space[n:]
	}
	return &s.raw, nil
}

func (s *segmentReader) length() (int, error) {
	n, err := binary.ReadUvarint(s.r)
	if err != nil {
		return 0, patchError("read segment", err)
	}
	if n > maxSegment {
		return 0, fmt.Errorf("%w: column of %d bytes", ErrPatch, n)
	}
	return int(n), nil
}

// column fills room from so many packed bytes.
func (s *segmentReader) column(room []byte, packed int) ([]byte, error) {
	if packed == cap(room) {
		room = room[:packed]
		if _, err := io.ReadFull(s.r, room); err != nil {
			return nil, patchError("read segment", err)
		}
		return room, nil
	}
	if cap(s.packed) < packed {
		s.packed = make([]byte, packed)
	}
	p := s.packed[:packed]
	if _, err := io.ReadFull(s.r, p); err != nil {
		return nil, patchError("read segment", err)
	}
	out, err := s.unpack.DecodeAll(p, room)
	if err == nil && len(out) != cap(room) {
		err = fmt.Errorf("%d bytes in place of %d", len(out), cap(room))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: unpack segment: %w", ErrPatch, err)
	}
	return out, nil
}

func (s *segmentReader) end() error {
	switch _, err := s.r.ReadByte(); {
	case err == nil:
		return fmt.Errorf("%w: more bytes after its end", ErrPatch)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("read patch: %w", err)
	}
	return io.EOF
}
