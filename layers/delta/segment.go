package delta

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxSegment bounds the columns of a segment together, in bytes: what both ends hold in memory.
const maxSegment = 4 << 20

// columns is how many there are in a segment.
const columns = 3

// segment is a part of each column.
type segment [columns][]byte

func (s *segment) size() (n int) {
	for _, c := range s {
		n += len(c)
	}
	return n
}

// A segment is written as two lengths for each column, unpacked and packed, as uvarint, then the packed columns. A
// column as long packed as unpacked is stored as it is. Lengths that are all zero are the end.

// segmentWriter packs columns into segments. Who fills raw calls flush before it exceeds maxSegment.
type segmentWriter struct {
	w    io.Writer
	size int64 // bytes written
	raw  segment
	out  segment // memory for what is packed
	pack [columns]*zstd.Encoder
}

// newSegmentWriter packs the columns named as small as can be. That takes 35 MB of memory more and several times as long a
// byte.
func newSegmentWriter(w io.Writer, small ...int) (*segmentWriter, error) {
	encoder := func(level zstd.EncoderLevel) (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(maxSegment), zstd.WithEncoderCRC(false)) // the target's digest covers all
	}
	quick, err := encoder(zstd.SpeedBetterCompression)
	if err != nil {
		return nil, err
	}
	s := &segmentWriter{w: w, pack: [columns]*zstd.Encoder{quick, quick, quick}}
	if len(small) == 0 {
		return s, nil
	}
	best, err := encoder(zstd.SpeedBestCompression)
	for _, c := range small {
		s.pack[c] = best
	}
	return s, err
}

func (s *segmentWriter) write(p []byte) error {
	n, err := s.w.Write(p)
	s.size += int64(n)
	return err
}

// flush writes the segment, if there is any.
func (s *segmentWriter) flush() error {
	if s.raw.size() == 0 {
		return nil
	}
	var head []byte
	var packed segment
	for i, c := range s.raw {
		s.out[i] = s.pack[i].EncodeAll(c, s.out[i][:0])
		packed[i] = s.out[i]
		if len(packed[i]) >= len(c) {
			packed[i] = c
		}
		head = binary.AppendUvarint(head, uint64(len(c)))
		head = binary.AppendUvarint(head, uint64(len(packed[i])))
	}
	for _, p := range append([][]byte{head}, packed[:]...) {
		if err := s.write(p); err != nil {
			return fmt.Errorf("write segment: %w", err)
		}
	}
	for i := range s.raw {
		s.raw[i] = s.raw[i][:0]
	}
	return nil
}

// finish writes what is left, and the end.
func (s *segmentWriter) finish() error {
	if err := s.flush(); err != nil {
		return err
	}
	if err := s.write(make([]byte, 2*columns)); err != nil {
		return fmt.Errorf("write segment: %w", err)
	}
	return nil
}

// segmentReader reads segments again.
type segmentReader struct {
	r      *bufio.Reader
	bad    error // ErrPatch or ErrSignature
	raw    segment
	space  []byte // that raw lies in
	packed []byte
	unpack *zstd.Decoder
}

func newSegmentReader(r io.Reader, bad error) (*segmentReader, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxSegment), zstd.WithDecoderMaxWindow(maxSegment))
	if err != nil {
		return nil, err
	}
	return &segmentReader{r: bufio.NewReader(r), bad: bad, unpack: d}, nil
}

func (s *segmentReader) close() { s.unpack.Close() }

// next reads the next segment, which is good until the call after. At the end, and only if that is the end
// of the stream too, it returns io.EOF.
func (s *segmentReader) next() (*segment, error) {
	var raw, packed [columns]int64
	sum := int64(0)
	for i := range raw {
		var err error
		if raw[i], err = readNumber(s.r, s.bad, maxSegment); err == nil {
			packed[i], err = readNumber(s.r, s.bad, raw[i])
		}
		if err != nil {
			return nil, err
		}
		sum += raw[i]
		if raw[i] > 0 && packed[i] == 0 {
			return nil, fmt.Errorf("%w: column of %d bytes in %d", s.bad, raw[i], packed[i])
		}
	}
	switch {
	case sum > maxSegment:
		return nil, fmt.Errorf("%w: segment of %d bytes", s.bad, sum)
	case sum == 0:
		return nil, s.end()
	}
	if int64(len(s.space)) < sum {
		s.space = make([]byte, sum)
	}
	space := s.space
	for i, n := range raw {
		var err error
		if s.raw[i], err = s.column(space[:0:n], int(packed[i])); err != nil {
			return nil, err
		}
		space = space[n:]
	}
	return &s.raw, nil
}

// column fills room from so many packed bytes.
func (s *segmentReader) column(room []byte, packed int) ([]byte, error) {
	if packed == cap(room) {
		room = room[:packed]
		if _, err := io.ReadFull(s.r, room); err != nil {
			return nil, cutError(s.bad, "read segment", err)
		}
		return room, nil
	}
	if cap(s.packed) < packed {
		s.packed = make([]byte, packed)
	}
	p := s.packed[:packed]
	if _, err := io.ReadFull(s.r, p); err != nil {
		return nil, cutError(s.bad, "read segment", err)
	}
	out, err := s.unpack.DecodeAll(p, room)
	if err == nil && len(out) != cap(room) {
		err = fmt.Errorf("%d bytes in place of %d", len(out), cap(room))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: unpack segment: %w", s.bad, err)
	}
	return out, nil
}

func (s *segmentReader) end() error {
	switch _, err := s.r.ReadByte(); {
	case err == nil:
		return fmt.Errorf("%w: more bytes after its end", s.bad)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("read what follows: %w", err)
	}
	return io.EOF
}
