package docker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The little of protocol buffers that the content service needs: fields of wire type varint and bytes.

var errProtobuf = errors.New("broken protobuf message")

const (
	wireVarint = 0
	wireFixed8 = 1 // eight bytes
	wireBytes  = 2
	wireFixed4 = 5 // four bytes
)

// pbField is one field of a message: a number, or bytes that point into the message.
type pbField struct {
	num   int
	kind  int // wire type
	value uint64
	bytes []byte
}

// pbNext takes the first field off b. Groups, which nobody writes any more, are refused.
func pbNext(b []byte) (f pbField, rest []byte, err error) {
	tag, b, err := pbVarint(b)
	if err != nil {
		return pbField{}, nil, err
	}
	if tag>>3 == 0 || tag>>3 > math.MaxInt32>>3 {
		return pbField{}, nil, fmt.Errorf("%w: field number %d", errProtobuf, tag>>3)
	}
	f = pbField{num: int(tag >> 3), kind: int(tag & 7)}
	size := uint64(0)
	switch f.kind {
	case wireVarint:
		f.value, b, err = pbVarint(b)
		return f, b, err
	case wireFixed8:
		size = 8
	case wireFixed4:
		size = 4
	case wireBytes:
		if size, b, err = pbVarint(b); err != nil {
			return pbField{}, nil, err
		}
	default:
		return pbField{}, nil, fmt.Errorf("%w: wire type %d", errProtobuf, f.kind)
	}
	if size > uint64(len(b)) {
		return pbField{}, nil, fmt.Errorf("%w: %d bytes promised, %d there", errProtobuf, size, len(b))
	}
	f.bytes = b[:size:size]
	return f, b[size:], nil
}

// pbEach calls each for every field of the message b.
func pbEach(b []byte, each func(pbField) error) error {
	for len(b) > 0 {
		f, rest, err := pbNext(b)
		if err != nil {
			return err
		}
		if err := each(f); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

func pbVarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, fmt.Errorf("%w: bad number", errProtobuf)
	}
	return v, b[n:], nil
}

// pbAppendBytes adds a field of bytes to the message b.
func pbAppendBytes(b []byte, num int, v []byte) []byte {
	b = binary.AppendUvarint(b, uint64(num)<<3|wireBytes)
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// pbAppendInt adds a number to the message b; zero is the default and left out.
func pbAppendInt(b []byte, num int, v int64) []byte {
	if v == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(num)<<3|wireVarint)
	return binary.AppendUvarint(b, uint64(v))
}
