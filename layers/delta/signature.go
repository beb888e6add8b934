package delta

import (
	"crypto/sha256"
	"encoding/binary"
)

// A signature is a magic and segments, whose first column has a record for each part of the base. All digests are in
// the last column.
//
// A header is known by a digest of it without the file's size, the time of change and the checksum; the first column
// has the size and the second the time, so that whoever has another header of the same file knows the old one, byte by
// byte. The content of a file is known by a digest if it is small, and by its blocks if it is not tiny. Where the last
// block is not whole, one more ends with the file.

// sigMagic ends in the version of the format.
const sigMagic = "shipsig\x01"

// The columns of a signature.
const (
	recordColumn = iota
	mtimeColumn
	digestColumn
)

// record is what a part of a base is. In a segment, it is the low bits of a number whose rest is a size in bytes.
type record byte

const (
	fileRecord  record = iota // a header without size and time, and a file of that size
	exactRecord               // a header as it is; the size is 0
	looseRecord               // content of that size
	lostRecord                // so many bytes that are not described
)

const (
	// headBytes is how much there is of the digest of a header. A false match makes a patch that Apply refuses.
	headBytes = 6
	// wholeBytes, of that of a small file.
	wholeBytes = 8
	// blockBytes, of that of a block.
	blockBytes = 8

	// mostWhole is the largest size that counts as small.
	mostWhole = 4 << 20
	// leastCut is the smallest size that has blocks, and those of smallBlock as long as it is below leastFine: a file
	// that is not large changes rarely in a few places only.
	leastCut, leastFine = 4 << 10, 256 << 10
	smallBlock          = 2 << 10
	fineBlock           = 1 << 10
	// mostBlocks is how many fine blocks a file has at most; then they become larger, up to coarseBlock.
	mostBlocks  = 1 << 16
	coarseBlock = 128 << 10
	// mostCut is the largest size that is described.
	mostCut = mostBlocks * coarseBlock

	// maxParts and maxPartBlocks bound what a signature describes, and the memory of who reads it to about 500 MB.
	maxParts      = 2 << 20
	maxPartBlocks = 8 << 20
)

// blockSize returns the size of the blocks of content; 0 = it has none.
func blockSize(length int64) int {
	switch {
	case length < leastCut:
		return 0
	case length < leastFine:
		return smallBlock
	}
	size := fineBlock
	for length/int64(size) > mostBlocks && size < coarseBlock {
		size *= 2
	}
	return size
}

// blockCount returns how many digests of blocks there are of content.
func blockCount(length int64) int64 {
	size := int64(blockSize(length))
	if size == 0 {
		return 0
	}
	return (length + size - 1) / size
}

func digest(b []byte, n int) []byte {
	sum := sha256.Sum256(b)
	return sum[:n]
}

// headKey is the digest of a header as a number.
func headKey(b []byte) uint64 {
	return binary.BigEndian.Uint64(append([]byte{0, 0}, digest(b, headBytes)...))
}
