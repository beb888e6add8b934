package peer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"ship/transfer/chunk"
)

// ErrClosed is what a closed node answers.
var ErrClosed = errors.New("node is closed")

// Options of a Node. The functions must not block; they may be nil.
type Options struct {
	// Have is called after each chunk that is new here, from a peer or, with from empty, through Put.
	Have func(blob uint32, index int, from string)
	// Failed is called once for a blob that cannot be stored any more, a full disk for example. The node asks for no
	// more of it.
	Failed func(blob uint32, err error)
}

// Node is one host's part in the exchange. It is safe for concurrent use.
type Node struct {
	o       Options
	running sync.WaitGroup // links; added to with mu locked and closed false

	mu      sync.Mutex
	wants   map[uint32]*want
	order   []*want // by number
	links   map[*link]context.CancelCauseFunc
	shunned map[string]error // what peers did that are not spoken to again
	pace    pace             // of what was asked for
	gave    pace             // of what was given
	giving  map[key]giving
	closed  bool
}

// New makes a node without links.
func New(o Options) *Node {
	if o.Have == nil {
		o.Have = func(uint32, int, string) {}
	}
	if o.Failed == nil {
		o.Failed = func(uint32, error) {}
	}
	return &Node{o: o, wants: make(map[uint32]*want), links: make(map[*link]context.CancelCauseFunc), shunned: make(map[string]error), giving: make(map[key]giving)}
}

// Add takes part in the exchange of a blob: what is held of it is offered, what is not is asked for. Another one of that
// number is dropped.
func (n *Node) Add(id uint32, b *chunk.Blob) {
	w := &want{id: id, blob: b, asks: make(map[int]*ask)}
	defer n.learn(w)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop(id)
	for l := range n.links {
		w.countAll(l.theirs[id], 1)
	}
	n.wants[id] = w
	at, _ := slices.BinarySearchFunc(n.order, id, func(w *want, id uint32) int { return int(int64(w.id) - int64(id)) })
	n.order = slices.Insert(n.order, at, w)
}

// Drop ends taking part in the exchange of a blob. One that is closed drops out by itself.
func (n *Node) Drop(id uint32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop(id)
}

// Announced says that more chunks of a blob were announced to it.
func (n *Node) Announced(id uint32) {
	n.mu.Lock()
	w := n.wants[id]
	n.mu.Unlock()
	if w != nil {
		n.learn(w)
	}
}

// Put stores a chunk that came from elsewhere than from a peer. Its errors are those of chunk.Blob.Put; a blob that was
// not added is chunk.ErrUnknown.
func (n *Node) Put(id uint32, index int, data []byte) error {
	n.mu.Lock()
	w := n.wants[id]
	n.mu.Unlock()
	if w == nil {
		return fmt.Errorf("blob %d: %w", id, chunk.ErrUnknown)
	}
	return n.put(w, index, data, "")
}

// Close ends all links, and waits for them.
func (n *Node) Close() {
	n.mu.Lock()
	n.closed = true
	for _, stop := range n.links {
		stop(ErrClosed)
	}
	n.mu.Unlock()
	n.running.Wait()
}

// learn looks at what of a blob was announced since, and what of that is held already. The blob may be busy with the
// disk, for which the links do not wait.
func (n *Node) learn(w *want) {
	n.mu.Lock()
	from := w.known
	n.mu.Unlock()
	upto := w.blob.Known()
	var held []int
	for i := from; i < upto; i++ {
		if w.blob.Has(i) {
			held = append(held, i)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, i := range held {
		w.held.add(i)
	}
	w.known = max(w.known, upto)
	n.news(w)
	n.fillAll()
}

// put stores a chunk and lets everybody know.
func (n *Node) put(w *want, index int, data []byte, from string) error {
	fresh, err := w.blob.Put(index, data)
	if err != nil {
		return err
	}
	n.mu.Lock()
	w.held.add(index)
	n.settle(w, index)
	n.news(w)
	n.mu.Unlock()
	if fresh {
		n.o.Have(w.id, index, from)
	}
	return nil
}

// news makes all links tell what is new of a blob; with mu locked.
func (n *Node) news(w *want) {
	if n.wants[w.id] != w {
		return
	}
	for l := range n.links {
		l.out.news[w.id] = struct{}{}
		l.wakeWriter()
	}
}

// drop with mu locked. What is still on its way is answered as if it had been cancelled.
func (n *Node) drop(id uint32) {
	w := n.wants[id]
	if w == nil {
		return
	}
	delete(n.wants, id)
	n.order = slices.DeleteFunc(n.order, func(x *want) bool { return x == w })
	for i := range w.asks {
		n.settle(w, i)
	}
	for l := range n.links {
		delete(l.out.told, id) // another blob of that number has other chunks
	}
}

// fail stops asking for a blob that cannot be stored.
func (n *Node) fail(w *want, err error) {
	n.mu.Lock()
	first := !w.failed
	w.failed = true
	for i := range w.asks {
		n.settle(w, i)
	}
	n.mu.Unlock()
	if first {
		n.o.Failed(w.id, err)
	}
}

// release lets a chunk be asked of others than l.
func (n *Node) release(w *want, index int, l *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w.release(index, l)
}

// dropWant drops a blob unless another has taken its number.
func (n *Node) dropWant(w *want) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.wants[w.id] == w {
		n.drop(w.id)
	}
}
