package delta

import (
	"context"
	"fmt"
	"io"
	"math/bits"
)

const (
	// leastBlock is the shortest run of bytes that is looked up in the base. Shorter finds more in executables,
	// at twice the memory.
	leastBlock = 32
	// maxBlocks bounds an index: from 256 MB of base on, blocks are longer.
	maxBlocks = 1<<23 - 1
	// maxBlock bounds a block, so that a page holds some: 32 GB of base are indexed, the rest is not.
	maxBlock = 4 << 10
	// tries is how many blocks of one kind are kept: a row of equal ones would fill the index.
	tries = 4
)

// index finds blocks of a base by their rolling hash. It takes 8 to 16 bytes for each block, 64 MB at most.
type index struct {
	block int
	roll  roller
	shift uint
	// Open addressing. The number of a block + 1 in the lower 24 bits, further bits of its hash above: they spare most
	// reads of the base for nothing. 0 is free.
	table []uint32
	seen  uint32 // keeps the compiler from leaving out reads
}

// numberBits of an entry are the number.
const numberBits = 1<<24 - 1

// newIndex reads the base once.
func newIndex(ctx context.Context, r io.ReaderAt, size int64) (*index, error) {
	x := &index{block: leastBlock}
	for x.block < maxBlock && size/int64(x.block) > maxBlocks {
		x.block *= 2
	}
	blocks := min(size/int64(x.block), maxBlocks)
	bitsUsed := max(3, bits.Len64(uint64(2*blocks)))
	x.shift = uint(64 - bitsUsed)
	x.table = make([]uint32, 1<<bitsUsed)
	x.roll = newRoller(x.block)
	buf := make([]byte, pageBytes)
	perStep := int64(len(buf) / x.block)
	for i := int64(0); i < blocks; i += perStep {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		step := buf[:min(perStep, blocks-i)*int64(x.block)]
		if err := readFull(r, step, i*int64(x.block)); err != nil {
			return nil, fmt.Errorf("index base: %w", err)
		}
		x.putAll(step, i)
	}
	return x, nil
}

// mix spreads a rolling hash, whose lower bits are weak.
func mix(h uint64) uint64 { return h * 0x9e3779b97f4a7c15 }

// tag is what an entry keeps of a mixed hash, beside those bits that chose its place.
func tag(m uint64) uint32 { return uint32(m>>31) << 24 }

// putAll puts the blocks of b, the first of which has that number. The table is far larger than any cache: looking at
// many places of it first lets the waits for memory overlap.
func (x *index) putAll(b []byte, number int64) {
	var mixed [4 * batch]uint64
	for len(b) > 0 {
		n := 0
		seen := uint32(0)
		for ; n < len(mixed) && len(b) > 0; n, b = n+1, b[x.block:] {
			mixed[n] = mix(x.roll.sum(b))
		}
		for _, m := range mixed[:n] {
			seen |= x.first(m)
		}
		x.seen = seen
		for _, m := range mixed[:n] {
			x.put(m, number)
			number++
		}
	}
}

// put takes a mixed hash.
func (x *index) put(m uint64, number int64) {
	for i := range uint64(tries) {
		if e := &x.table[(m>>x.shift+i)&uint64(len(x.table)-1)]; *e == 0 {
			*e = tag(m) | uint32(number+1)
			return
		}
	}
}

// first returns what the table has in the place of a mixed hash; 0 = there is no such block.
func (x *index) first(m uint64) uint32 { return x.table[m>>x.shift] }

// candidates calls f with the offset of each block that may have the hash.
func (x *index) candidates(m uint64, f func(off int64)) {
	for i := range uint64(tries) {
		e := x.table[(m>>x.shift+i)&uint64(len(x.table)-1)]
		if e == 0 {
			return
		}
		if e&^numberBits == tag(m) {
			f(int64(e&numberBits-1) * int64(x.block))
		}
	}
}

// roller is a polynomial hash, modulo 2^64, of a block that moves on byte by byte.
type roller struct {
	block int
	power uint64 // rollBase to the power of block
}

const rollBase = 0x2545f4914f6cdd1d

func newRoller(block int) roller {
	r := roller{block: block, power: 1}
	for range block {
		r.power *= rollBase
	}
	return r
}

// sum hashes the first block of b. Four bytes at a time, because each multiplication waits for the one before.
func (r roller) sum(b []byte) uint64 {
	const (
		base2 = rollBase * rollBase & (1<<64 - 1)
		base3 = base2 * rollBase & (1<<64 - 1)
		base4 = base3 * rollBase & (1<<64 - 1)
	)
	var h uint64
	for b = b[:r.block]; len(b) >= 4; b = b[4:] {
		h = h*base4 + (uint64(b[0])+1)*base3 + (uint64(b[1])+1)*base2 + (uint64(b[2])+1)*rollBase + uint64(b[3]) + 1
	}
	return h
}

// next moves a hash on by a byte.
func (r roller) next(h uint64, out, in byte) uint64 {
	return h*rollBase + uint64(in) + 1 - r.power*(uint64(out)+1)
}
