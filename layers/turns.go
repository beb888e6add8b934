package layers

import (
	"context"
	"slices"
	"sync"
)

// turns lets a few work at once, in the order in which they came: who asks for the lowest layer first gets it first.
type turns struct {
	mu    sync.Mutex
	free  int
	queue []*turn
}

// turn is a place in the queue, and then the right to work. It ends with leave, in either state.
type turn struct {
	of    *turns
	ready chan struct{} // closed = it may work
}

func newTurns(n int) *turns { return &turns{free: n} }

// enter takes a place and returns at once.
func (t *turns) enter() *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := &turn{of: t, ready: make(chan struct{})}
	if t.free > 0 {
		t.free--
		close(n.ready)
	} else {
		t.queue = append(t.queue, n)
	}
	return n
}

// wait returns when the turn has come.
func (n *turn) wait(ctx context.Context) error {
	select {
	case <-n.ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (n *turn) leave() {
	t := n.of
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.queue, n); i >= 0 {
		t.queue = slices.Delete(t.queue, i, i+1)
		return
	}
	if len(t.queue) == 0 {
		t.free++
		return
	}
	close(t.queue[0].ready)
	t.queue = t.queue[1:]
}
