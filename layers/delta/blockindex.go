package delta

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sort"
)

// blockIndex finds the blocks of one size by their digests, which are rolling hashes.
type blockIndex struct {
	size  int
	roll  roller
	sums  []uint64
	runs  []run
	shift uint
	table []uint32 // number of a block + 1, by its mixed sum; 0 is free
}

// run is the blocks of one piece of content.
type run struct {
	first int // number of a block
	content
}

func (x *blockIndex) add(sums []byte, c content) error {
	if len(x.sums)+len(sums)/blockBytes > maxPartBlocks {
		return fmt.Errorf("%w: more than %d blocks", ErrSignature, maxPartBlocks)
	}
	x.runs = append(x.runs, run{len(x.sums), c})
	for ; len(sums) > 0; sums = sums[blockBytes:] {
		x.sums = append(x.sums, binary.BigEndian.Uint64(sums))
	}
	return nil
}

func (x *blockIndex) build() {
	used := bits.Len(uint(2*len(x.sums) + tries))
	x.shift = uint(64 - used)
	x.table = make([]uint32, 1<<used)
	for i, sum := range x.sums {
		for try := range uint64(tries) {
			e := &x.table[(mix(sum)>>x.shift+try)&uint64(len(x.table)-1)]
			if *e == 0 {
				*e = uint32(i + 1)
			}
			if x.sums[*e-1] == sum {
				break // the first of equal ones is enough
			}
		}
	}
}

// find returns the number of a block with that sum, or -1.
func (x *blockIndex) find(sum uint64) int {
	m := mix(sum)
	for try := range uint64(tries) {
		e := x.table[(m>>x.shift+try)&uint64(len(x.table)-1)]
		if e == 0 {
			return -1
		}
		if x.sums[e-1] == sum {
			return int(e - 1)
		}
	}
	return -1
}

// place returns where block i lies in the base, and how many bytes of its run come after its begin.
func (x *blockIndex) place(i int) (at, rest int64) {
	n := sort.Search(len(x.runs), func(n int) bool { return x.runs[n].first > i }) - 1
	r := x.runs[n]
	from := min(int64(i-r.first)*int64(x.size), r.length-int64(x.size))
	return r.at + from, r.length - from
}

// follow returns how many bytes of b are what comes after block i in the base, as far as the blocks of its run tell.
func (x *blockIndex) follow(i int, b []byte) (n int) {
	_, rest := x.place(i)
	rest -= int64(x.size)
	for rest > 0 {
		step := int(min(rest, int64(x.size)))
		// The last block of a run overlaps the one before.
		begin := n + step - x.size
		i++
		if n+step > len(b)-x.size || x.roll.sum(b[x.size+begin:]) != x.sums[i] {
			return n
		}
		n += step
		rest -= int64(step)
	}
	return n
}
