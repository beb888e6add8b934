package delta

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Sign describes a base for MakeFromSignature, in 1 % of its size for most layers, in 2 % at most. It reads old once.
func Sign(ctx context.Context, w io.Writer, old io.Reader) error {
	buffered := bufio.NewWriterSize(w, 64<<10)
	segments, err := newSegmentWriter(buffered)
	if err != nil {
		return err
	}
	s := &signer{segments: segments, parts: newPartReader(old), buf: make([]byte, 2*coarseBlock+looseBytes)}
	_, err = buffered.WriteString(sigMagic)
	if err == nil {
		err = s.sign(ctx)
	}
	if err == nil {
		err = segments.finish()
	}
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		return fmt.Errorf("sign layer: %w", err)
	}
	return nil
}

// signer writes a signature.
type signer struct {
	segments      *segmentWriter
	parts         *partReader
	count, blocks int64 // so far
	lost          int64 // bytes that are not described, since the last record
	buf           []byte
}

// recordRoom is more than one record takes in all columns.
const recordRoom = mostBlocks*blockBytes + 64

func (s *signer) sign(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		p, err := s.parts.next()
		if errors.Is(err, io.EOF) {
			s.putLost()
			return nil
		}
		if err != nil {
			return err
		}
		if s.segments.raw.size()+2*recordRoom > maxSegment {
			if err := s.segments.flush(); err != nil {
				return err
			}
		}
		if err := s.part(ctx, p); err != nil {
			return err
		}
	}
}

// part describes a part, or counts its bytes where that would be too much.
func (s *signer) part(ctx context.Context, p part) error {
	blocks := s.blocks + blockCount(p.length)
	fits := p.length <= mostCut && s.count+2 <= maxParts && blocks <= maxPartBlocks
	s.count += 2 // at most
	kept, lost := s.segments.raw, s.lost
	if fits {
		s.putLost()
		s.describe(p)
	}
	got, err := s.content(ctx, p.length, fits)
	if err != nil {
		return err
	}
	if fits && got == p.length {
		s.blocks = blocks
		return nil
	}
	s.segments.raw, s.lost = kept, lost+int64(len(p.header))+got
	return nil
}

// describe puts all but the content.
func (s *signer) describe(p part) {
	if p.header == nil {
		s.put(looseRecord, p.length)
		return
	}
	raw := &s.segments.raw
	masked, ok := mask(p.header, p.size)
	if ok && p.length >= p.size {
		s.put(fileRecord, p.size)
		raw[mtimeColumn] = append(raw[mtimeColumn], p.header[mtimeField:sumField]...)
		raw[digestColumn] = append(raw[digestColumn], digest(masked, headBytes)...)
		return
	}
	s.put(exactRecord, 0)
	raw[digestColumn] = append(raw[digestColumn], digest(p.header, headBytes)...)
	if p.length > 0 {
		s.put(looseRecord, p.length)
	}
}

func (s *signer) putLost() {
	if s.lost > 0 {
		s.put(lostRecord, s.lost)
	}
	s.lost = 0
}

func (s *signer) put(r record, size int64) {
	raw := &s.segments.raw
	raw[recordColumn] = binary.AppendUvarint(raw[recordColumn], uint64(size)<<2|uint64(r))
}

// content reads so many bytes, or what is left, and describes them if it is to.
func (s *signer) content(ctx context.Context, length int64, describe bool) (got int64, err error) {
	column := &s.segments.raw[digestColumn]
	whole := sha256.New()
	size := blockSize(length)
	roll := newRoller(size)
	carry := 0 // bytes at the begin of buf that end where the next ones begin
	for got < length {
		if ctx.Err() != nil {
			return got, context.Cause(ctx)
		}
		end := carry + int(min(length-got, int64(len(s.buf)-carry)/coarseBlock*coarseBlock))
		n, err := io.ReadFull(s.parts.r, s.buf[carry:end])
		got += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		if !describe {
			continue
		}
		if length <= mostWhole {
			_, _ = whole.Write(s.buf[carry:end]) // a hash never fails
		}
		b := s.buf[carry:end]
		for ; size > 0 && len(b) >= size; b = b[size:] {
			*column = binary.BigEndian.AppendUint64(*column, roll.sum(b))
		}
		if size > 0 && len(b) > 0 { // only at the end
			*column = binary.BigEndian.AppendUint64(*column, roll.sum(s.buf[end-size:]))
		}
		carry = copy(s.buf, s.buf[max(0, end-size):end])
	}
	if describe && length > 0 && length <= mostWhole {
		*column = append(*column, whole.Sum(nil)[:wholeBytes]...)
	}
	return got, nil
}
