package peer

import (
	"math"
	"math/rand/v2"
	"time"
)

const (
	// inFlight is how many chunks are asked of a link at a time.
	inFlight = 4
	// window is how many missing chunks are looked at for the rarest: the first ones, which are needed first.
	window = 4096
	// choice is among how many equally rare chunks it is diced, so that neighbours do not all ask for the same.
	choice = 8
)

// request is a chunk asked of a link.
type request struct {
	since     time.Time
	cancelled bool // its answer is no longer waited for, but takes its place among those in flight
	late      bool
	hedge     bool // somebody else was asked before
}

// fillAll asks all links for as much as they may be asked; with mu locked, as all below.
func (n *Node) fillAll() {
	for l := range n.links {
		n.fill(l)
	}
}

func (n *Node) fill(l *link) {
	for len(l.asked) < n.limit(l) {
		w, i := n.pick(l)
		if w == nil {
			return
		}
		n.ask(l, w, i, false)
	}
}

// limit is how many chunks may be asked of a link now.
func (n *Node) limit(l *link) int {
	if !l.greeted {
		return 0
	}
	if n.slow(l) {
		return 1 // it may be the only one that has something, and may get better
	}
	return inFlight
}

// slow tells whether a link is to be relied on less than the others.
func (n *Node) slow(l *link) bool {
	return len(n.links) > 1 && (l.late > 0 || l.pace > n.pace.late())
}

// pick chooses what to ask a link for: one of the first of the rarest chunks that it has, that are missing here, and that
// nobody was asked for.
func (n *Node) pick(l *link) (*want, int) {
	rarest, looked, ties := math.MaxInt, 0, 0
	var wants [choice]*want
	var indexes [choice]int
	for _, w := range n.order {
		theirs := l.theirs[w.id]
		if w.failed {
			continue
		}
		for word := 0; word < len(theirs) && word*wordBits < w.known && looked < window; word++ {
			each(word, theirs[word]&^w.held.word(word)&^w.asked.word(word), func(i int) {
				if i >= w.known {
					return
				}
				looked++
				copies := w.copies[i]
				if copies > rarest || l.asked[key{w.id, i}] != nil { // of an earlier blob of that number
					return
				}
				if copies < rarest {
					rarest, ties = copies, 0
				}
				if ties < choice {
					wants[ties], indexes[ties] = w, i
					ties++
				}
			})
		}
	}
	if ties == 0 {
		return nil, 0
	}
	at := rand.IntN(ties)
	return wants[at], indexes[at]
}

// ask asks a link for a chunk.
func (n *Node) ask(l *link, w *want, i int, hedge bool) {
	now := time.Now()
	a := w.asks[i]
	if a == nil {
		a = &ask{}
		w.asks[i] = a
		w.asked.add(i)
	}
	a.links, a.last = append(a.links, l), now
	k := key{w.id, i}
	l.asked[k] = &request{since: now, hedge: hedge}
	l.out.asks = append(l.out.asks, k)
	l.wakeWriter()
	l.wakeTender()
}

// hedge asks others for what is late on a link.
func (n *Node) hedge(l *link, now time.Time) {
	patience := n.pace.late()
	for k, r := range l.asked {
		if now.Sub(r.since) < patience {
			continue
		}
		if !r.late {
			r.late = true
			l.late++
		}
		w := n.wants[k.blob]
		if w == nil || r.cancelled {
			continue
		}
		// Each further one is waited for longer: when all are slow, asking more of them makes it worse.
		a := w.asks[k.index]
		if a == nil || now.Sub(a.last) < patience*time.Duration(len(a.links)) {
			continue
		}
		if other := n.substitute(w, k.index, a); other != nil {
			n.ask(other, w, k.index, true)
		}
	}
}

// substitute finds the link with least to do that has a chunk and was not asked for it. It may be asked for one more
// than the others allow.
func (n *Node) substitute(w *want, i int, a *ask) *link {
	var best *link
	for l := range n.links {
		if !l.theirs[w.id].has(i) || l.hedging() || len(l.asked) > n.limit(l) || l.asked[key{w.id, i}] != nil {
			continue
		}
		if best == nil || len(l.asked) < len(best.asked) {
			best = l
		}
	}
	return best
}

// hedging tells whether a link is at work on something that is late elsewhere: one at a time, so that what is late does
// not keep all from what nobody was asked for.
func (l *link) hedging() bool {
	for _, r := range l.asked {
		if r.hedge && !r.cancelled {
			return true
		}
	}
	return false
}
