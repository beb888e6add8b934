package peer

import (
	"slices"
	"time"
)

// giving is a chunk on its way to a peer, until that says that it has it.
//
// The same chunk goes to one peer at a time. Neighbours of the only one that has it ask for it all at once, and if its
// line is slow, all would wait for as long as all of them take. As it is, the first one soon has it and can give it to
// the others, who then cancel what they asked here. What counts is the peer's word and not that the bytes were written:
// buffers on the way hold more than a chunk.
type giving struct {
	to    *link
	since time.Time
}

// choose takes the next chunk from what a peer waits for: the one that fewest others have, which is missed most. If all
// are on their way to others it tells how long to wait, 0 if there are none.
func (n *Node) choose(l *link) (k key, wait time.Duration, ok bool) {
	best, fewest := -1, 0
	for at, k := range l.out.uploads {
		busy, copies := n.busy(l, k), 0
		if w := n.wants[k.blob]; w != nil && k.index < len(w.copies) {
			copies = w.copies[k.index]
		}
		switch {
		case busy > 0 && (wait == 0 || busy < wait):
			wait = busy
		case busy <= 0 && (best < 0 || copies < fewest):
			best, fewest = at, copies
		}
	}
	if best < 0 {
		return key{}, wait, false
	}
	k = l.out.uploads[best]
	l.out.uploads = slices.Delete(l.out.uploads, best, best+1)
	n.giving[k] = giving{l, time.Now()}
	return k, 0, true
}

// busy is how long a chunk is not to be given to l yet; at most half of what would be late, for the peer that gets it
// may have a slow line of its own.
func (n *Node) busy(l *link, k key) time.Duration {
	g, on := n.giving[k]
	if !on || g.to == l {
		return 0
	}
	return n.gave.late()/2 - time.Since(g.since)
}

// given notes that a peer has got a chunk, or will not get it; others may be waiting for it.
func (n *Node) given(l *link, k key) {
	g, on := n.giving[k]
	if !on || g.to != l {
		return
	}
	delete(n.giving, k)
	if l.theirs[k.blob].has(k.index) {
		n.gave.add(time.Since(g.since))
	}
	for other := range n.links {
		if len(other.out.uploads) > 0 {
			other.wakeWriter()
		}
	}
}
