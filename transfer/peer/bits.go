package peer

import "math/bits"

// set is a set of chunk indexes.
type set []uint64

const wordBits = 64

func (s set) has(i int) bool { return i/wordBits < len(s) && s[i/wordBits]&(1<<(i%wordBits)) != 0 }

// word is s[w], 0 past the end.
func (s set) word(w int) uint64 {
	if w < len(s) {
		return s[w]
	}
	return 0
}

func (s *set) add(i int) {
	s.grow(i/wordBits + 1)
	(*s)[i/wordBits] |= 1 << (i % wordBits)
}

func (s set) remove(i int) {
	if i/wordBits < len(s) {
		s[i/wordBits] &^= 1 << (i % wordBits)
	}
}

// grow makes s at least words long.
func (s *set) grow(words int) {
	if n := words - len(*s); n > 0 {
		*s = append(*s, make(set, n)...)
	}
}

// each calls yield for the members of the word at w.
func each(w int, word uint64, yield func(i int)) {
	for ; word != 0; word &= word - 1 {
		yield(w*wordBits + bits.TrailingZeros64(word))
	}
}
