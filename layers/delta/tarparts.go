package delta

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// tarBlock is the unit of a tar, in bytes.
	tarBlock = 512
	// looseBytes is the longest piece of what is no entry of a tar.
	looseBytes = 64 << 10
)

// part is a piece of a tar: a header, and how many bytes of content follow it, up to the next header. Without a header
// it is bytes that are none: the end of the tar, or something else altogether.
type part struct {
	header []byte // tarBlock bytes, good until the next call; nil = none
	size   int64  // bytes of the file, as the header says
	length int64  // bytes that follow: the file, and zeros up to a whole block
}

// partReader takes a tar apart. It is no judge of tars: whatever the bytes are, the parts together are all of them.
type partReader struct {
	r *bufio.Reader
}

func newPartReader(r io.Reader) *partReader {
	return &partReader{bufio.NewReaderSize(r, looseBytes)}
}

// next returns the next part, or io.EOF. Its length bytes are read from r before the next call.
func (p *partReader) next() (part, error) {
	b, err := p.r.Peek(tarBlock)
	if err != nil && !errors.Is(err, io.EOF) {
		return part{}, err
	}
	if len(b) == 0 {
		return part{}, io.EOF
	}
	if size, length, ok := parseHeader(b); ok {
		header := make([]byte, tarBlock)
		_, err := io.ReadFull(p.r, header)
		return part{header, size, length}, err
	}
	b, err = p.r.Peek(looseBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return part{}, err
	}
	n := min(tarBlock, len(b))
	for ; n+tarBlock <= len(b); n += tarBlock {
		if _, _, ok := parseHeader(b[n : n+tarBlock]); ok {
			return part{length: int64(n)}, nil
		}
	}
	return part{length: int64(len(b))}, nil
}

// The fields of a header that differ from one time to the other.
const (
	sizeField, mtimeField, sumField, typeField, magicField = 124, 136, 148, 156, 257

	mtimeBytes = sumField - mtimeField
)

// parseHeader tells whether b is a header, what size it gives its file, and how many bytes follow.
func parseHeader(b []byte) (size, length int64, ok bool) {
	if len(b) < tarBlock || string(b[magicField:magicField+5]) != "ustar" {
		return 0, 0, false
	}
	sum, ok := octal(b[sumField:typeField])
	if !ok || sum != headerSum(b) {
		return 0, 0, false
	}
	if size, ok = fieldSize(b[sizeField:mtimeField]); !ok {
		return 0, 0, false
	}
	switch b[typeField] {
	case '1', '2', '3', '4', '5', '6': // links, devices, folders, pipes
		return size, 0, true
	}
	return size, contentLength(size), true
}

// contentLength is the size of a file up to a whole block.
func contentLength(size int64) int64 { return (size + tarBlock - 1) / tarBlock * tarBlock }

// headerSum is the sum of all bytes, those of the sum itself as spaces.
func headerSum(b []byte) (sum int64) {
	for i, c := range b[:tarBlock] {
		if i >= sumField && i < typeField {
			c = ' '
		}
		sum += int64(c)
	}
	return sum
}

func octal(b []byte) (n int64, ok bool) {
	b = bytes.Trim(b, " \x00")
	for _, c := range b {
		if c < '0' || c > '7' || n > maxSize>>3 {
			return 0, false
		}
		n = n<<3 | int64(c-'0')
	}
	return n, true
}

// fieldSize reads a size, in octal or, from 8 GB on, as a number of 12 bytes.
func fieldSize(b []byte) (int64, bool) {
	if b[0] != 0x80 {
		return octal(b)
	}
	n := binary.BigEndian.Uint64(b[4:])
	return int64(n & (maxSize - 1)), n < maxSize && bytes.Equal(b[1:4], []byte{0, 0, 0})
}

// setHeader writes what mask takes away: the size, the time of change, and the sum of all.
func setHeader(b []byte, size int64, mtime []byte) {
	copy(b[sizeField:], fmt.Sprintf("%011o\x00", size))
	copy(b[mtimeField:], mtime)
	copy(b[sumField:], fmt.Sprintf("%06o\x00 ", headerSum(b)))
}

// mask returns a header without what setHeader can write. ok = false: it is written in another way, and stays whole.
func mask(header []byte, size int64) (masked []byte, ok bool) {
	again := bytes.Clone(header)
	setHeader(again, size, header[mtimeField:sumField])
	if !bytes.Equal(again, header) {
		return again[:copy(again, header)], false
	}
	clear(again[sizeField:typeField])
	return again, true
}
