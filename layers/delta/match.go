package delta

import (
	"encoding/binary"
	"math/bits"
)

const (
	// leastRun is how many bytes must go on at the same displacement to be a copy.
	leastRun = 16
	// leastDiffer is the shortest run of differences: an operation costs about two bytes.
	leastDiffer = 8
	// shortGap is the longest gap between copies of one displacement that is told as differences, however many they are:
	// three operations would cost more.
	shortGap = 32
	// maxPoor is how far beyond its best end a run of differences is looked for.
	maxPoor = 4 << 10
	// batch is how many blocks are looked up at a time: the reads from the index wait for memory together.
	batch = 16
	// patience is after how many bytes without a match the search becomes faster, and again, up to maxStride.
	patience, maxStride = 4 << 10, 9
)

// found is a piece of the target as operations.
type found struct {
	ops             []op
	diffs, literals []byte
}

// matcher finds the pieces of a target in a base. It is for one goroutine.
type matcher struct {
	index *index
	old   *pages

	new   []byte // a window of the target
	at    int64  // where it lies
	open  int    // from here on, new has no operations yet
	shift int64  // of the last operation: the displacement
	known bool   // is there one
	out   found

	hashes [batch]uint64
	firsts [batch]uint32
	// hashes and firsts are of the blocks from batchAt up to batchEnd, every stride bytes.
	batchAt, batchEnd, stride int
}

// window finds operations for a window of the target at offset at. The first move is from displacement 0. Its result
// depends on nothing but the window, so windows can be made at once. It lies in the memory of out.
func (m *matcher) window(new []byte, at int64) (found, error) {
	m.new, m.at, m.open, m.shift, m.known = new, at, 0, 0, false
	m.out = found{m.out.ops[:0], m.out.diffs[:0], m.out.literals[:0]}
	m.batchAt, m.batchEnd, m.stride = 0, 0, 1
	for pos := 0; pos+m.index.block <= len(new); {
		start, shift, end := m.longest(pos)
		if end == 0 {
			pos += m.stride
			continue
		}
		m.gap(start, shift)
		m.emit(clone, start, end, shift)
		m.open, pos, m.known = end, end, true
		if m.stride > 1 {
			m.batchEnd, m.stride = 0, 1
		}
		if m.old.err != nil {
			break
		}
	}
	m.gap(len(new), m.shift)
	return m.out, m.old.err
}

// longest returns the longest match around pos. The displacement that holds goes first: it costs no move, and what
// differs can be told by differences. end = 0: there is none.
func (m *matcher) longest(pos int) (start int, shift int64, end int) {
	if m.known {
		off := m.at + int64(pos) + m.shift
		if n := m.forward(pos, off); n >= leastRun {
			return pos - m.backward(pos, off), m.shift, pos + n
		}
	}
	if pos >= m.batchEnd || pos < m.batchAt {
		m.fill(pos)
	}
	i := (pos - m.batchAt) / m.stride
	if m.firsts[i] == 0 {
		return 0, 0, 0
	}
	m.index.candidates(m.hashes[i], func(off int64) {
		if !m.old.has(off, m.new[pos:pos+m.index.block]) {
			return
		}
		n, back := m.forward(pos, off), m.backward(pos, off)
		if n >= m.index.block && n+back > end-start {
			start, shift, end = pos-back, off-m.at-int64(pos), pos+n
		}
	})
	return start, shift, end
}

// fill looks up the blocks from pos on, every stride bytes. The longer nothing was found, the larger the stride: a match
// is found where a block of the base begins in it, so with an odd stride all matches of stride + 1 blocks are.
func (m *matcher) fill(pos int) {
	block := m.index.block
	m.stride = 1 + 2*min((pos-m.open)/patience, maxStride/2)
	n := min(batch, (len(m.new)-block-pos)/m.stride+1)
	h := m.index.roll.sum(m.new[pos:])
	m.hashes[0] = mix(h)
	for i := 1; i < n; i++ {
		for range m.stride {
			h = m.index.roll.next(h, m.new[pos], m.new[pos+block])
			pos++
		}
		m.hashes[i] = mix(h)
	}
	for i := range n {
		m.firsts[i] = m.index.first(m.hashes[i])
	}
	m.batchAt, m.batchEnd = pos-(n-1)*m.stride, pos+m.stride
}

// forward returns how many bytes of the window from pos on are those of the base from off on.
func (m *matcher) forward(pos int, off int64) (n int) {
	for pos+n < len(m.new) {
		old := m.old.from(off + int64(n))
		same := samePrefix(old, m.new[pos+n:])
		n += same
		if same < len(old) || same == 0 {
			break
		}
	}
	return n
}

// backward returns how many bytes before pos, down to open, are those before off.
func (m *matcher) backward(pos int, off int64) (n int) {
	for m.open < pos-n {
		old := m.old.before(off - int64(n))
		same := sameSuffix(old, m.new[m.open:pos-n])
		n += same
		if same < len(old) || same == 0 {
			break
		}
	}
	return n
}

func samePrefix(a, b []byte) int {
	n, i := min(len(a), len(b)), 0
	for ; i+8 <= n; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

func sameSuffix(a, b []byte) (n int) {
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	return n
}

// gap makes operations for what lies between open and end, where the displacement becomes next: differences as far as
// they pay from either side, literals in the middle.
func (m *matcher) gap(end int, next int64) {
	if end-m.open <= shortGap && m.known && next == m.shift && end < len(m.new) {
		m.emit(differ, m.open, end, next)
		m.open = end
	}
	if m.known && end > m.open {
		n := m.poor(m.open, end, m.shift, 1)
		m.emit(differ, m.open, m.open+n, m.shift)
		m.open += n
	}
	if end == m.open {
		return
	}
	n := 0
	if end < len(m.new) {
		n = m.poor(end, m.open, next, -1)
	}
	m.emit(insert, m.open, end-n, 0)
	m.emit(differ, end-n, end, next)
	m.open = end
}

// poor returns how many bytes from pos on, in the direction of step and up to limit, are enough like the base at that
// displacement to be told as differences: most of them equal.
func (m *matcher) poor(pos, limit int, shift int64, step int) int {
	best, bestScore, score := 0, 0, 0
	if step < 0 {
		pos--
		limit--
	}
	var old []byte // of the base, around the place of pos
	var from int64 // where old begins
	for n := 1; pos != limit && n-best <= maxPoor; n, pos = n+1, pos+step {
		off := m.at + int64(pos) + shift
		if i := off - from; i < 0 || i >= int64(len(old)) {
			if step > 0 {
				old, from = m.old.from(off), off
			} else {
				old = m.old.before(off + 1)
				from = off + 1 - int64(len(old))
			}
			if len(old) == 0 {
				break
			}
		}
		if old[off-from] == m.new[pos] {
			score++
		} else {
			score--
		}
		if score > bestScore {
			best, bestScore = n, score
		}
	}
	if best < leastDiffer {
		return 0
	}
	return best
}

// emit appends an operation for new[start:end].
func (m *matcher) emit(k kind, start, end int, shift int64) {
	if start >= end {
		return
	}
	if k == insert {
		m.out.literals = append(m.out.literals, m.new[start:end]...)
	} else if d := shift - m.shift; d != 0 {
		m.out.ops = append(m.out.ops, op{move, d})
		m.shift = shift
	}
	if k == differ {
		m.difference(start, end)
	}
	m.out.ops = append(m.out.ops, op{k, int64(end - start)})
}

func (m *matcher) difference(start, end int) {
	for start < end {
		old := m.old.from(m.at + int64(start) + m.shift)
		if len(old) == 0 {
			return // after an error, which window returns
		}
		for i, c := range m.new[start:min(end, start+len(old))] {
			m.out.diffs = append(m.out.diffs, c-old[i])
			start++
		}
	}
}
