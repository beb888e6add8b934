package delta

import (
	"encoding/binary"
	"fmt"
)

// kind is what an operation does.
type kind byte

const (
	insert kind = iota // n literals
	clone              // n bytes of the base: copy
	differ             // n bytes of the base, each plus its difference
	move               // of the displacement, by n; gives no bytes
)

// maxOp is the longest encoding of an operation, in bytes.
const maxOp = binary.MaxVarintLen64

// op is one operation. In memory n is a move's distance as it is, in a patch it is zigzag.
type op struct {
	kind kind
	n    int64
}

// appendOp writes an operation: its kind in the low bits, n above.
func appendOp(b []byte, o op) []byte {
	n := uint64(o.n)
	if o.kind == move {
		n = uint64(o.n<<1) ^ uint64(o.n>>63)
	}
	return binary.AppendUvarint(b, n<<2|uint64(o.kind))
}

// readOp takes an operation off b. Lengths are 1 to maxSize, distances at most maxSize either way.
func readOp(b []byte) (o op, rest []byte, err error) {
	x, n := binary.Uvarint(b)
	if n <= 0 {
		return op{}, nil, fmt.Errorf("%w: no operation", ErrPatch)
	}
	o = op{kind(x & 3), int64(x >> 2)}
	if o.kind == move {
		o.n = o.n>>1 ^ -(o.n & 1)
	}
	if o.kind != move && o.n == 0 || o.n > maxSize || o.n < -maxSize {
		return op{}, nil, fmt.Errorf("%w: operation of %d bytes", ErrPatch, o.n)
	}
	return o, b[n:], nil
}
