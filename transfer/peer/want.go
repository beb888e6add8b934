package peer

import (
	"slices"
	"time"

	"ship/transfer/chunk"
)

// want is a blob that this node takes part in; its fields are guarded by the node's mu.
type want struct {
	id     uint32
	blob   *chunk.Blob
	known  int   // chunks announced, as far as the node has looked
	held   set   // of the known ones
	copies []int // by index: how many links have it
	asked  set   // the keys of asks
	asks   map[int]*ask
	failed bool // ask for no more
}

// ask is a chunk that was asked for.
type ask struct {
	links []*link // that have not answered
	last  time.Time
}

// count notes that one more link (by is 1) or one less (-1) has a chunk.
func (w *want) count(i, by int) {
	if n := i + 1 - len(w.copies); n > 0 {
		w.copies = append(w.copies, make([]int, n)...)
	}
	w.copies[i] += by
}

func (w *want) countAll(theirs set, by int) {
	for word := range theirs {
		each(word, theirs[word], func(i int) { w.count(i, by) })
	}
}

// release notes that a link will not answer any more, or has.
func (w *want) release(i int, l *link) {
	a := w.asks[i]
	if a == nil {
		return
	}
	a.links = slices.DeleteFunc(a.links, func(x *link) bool { return x == l })
	if len(a.links) == 0 {
		delete(w.asks, i)
		w.asked.remove(i)
	}
}

// cancel gives up a request.
func (l *link) cancel(k key) {
	r := l.asked[k]
	if r == nil || r.cancelled {
		return
	}
	if at := slices.Index(l.out.asks, k); at >= 0 { // not sent yet
		l.out.asks = slices.Delete(l.out.asks, at, at+1)
		l.forget(k, r)
		return
	}
	r.cancelled = true
	l.out.cancels = append(l.out.cancels, k)
	l.wakeWriter()
}

// forget takes a request off the list.
func (l *link) forget(k key, r *request) {
	delete(l.asked, k)
	if r.late {
		l.late--
	}
}

// settle ends the asking for a chunk: whoever has not answered is told that it need not.
func (n *Node) settle(w *want, i int) {
	a := w.asks[i]
	if a == nil {
		return
	}
	delete(w.asks, i)
	w.asked.remove(i)
	for _, l := range a.links {
		l.cancel(key{w.id, i})
	}
}
