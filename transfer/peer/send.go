package peer

import (
	"context"
	"errors"
	"time"

	"ship/transfer/chunk"
)

// maxOwed bounds how many chunks a peer may ask for before it has got any.
const maxOwed = 64

// outbox is what is to be said to a peer. What can be many is kept as state, not as a queue: a peer that reads slowly is
// told less often, not later and later.
type outbox struct {
	hello, ping bool
	cancels     []key               // at most one for each request
	asks        []key               // at most as many as are in flight
	misses      []key               // with uploads at most maxOwed
	uploads     []key               // chunks that the peer waits for
	news        map[uint32]struct{} // blobs of which it may not know all that is held
	told        map[uint32]*set
}

// next is what goes first: a frame, or else a chunk to upload, or else to wait for something or, if it is not 0, so long.
func (l *link) next() (f *frame, upload *key, wait time.Duration) {
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	if f, ok := l.nextFrame(); ok {
		return &f, nil, 0
	}
	k, wait, ok := l.node.choose(l)
	if ok {
		return nil, &k, 0
	}
	if l.out.ping {
		l.out.ping = false
		return &frame{kind: kindPing}, nil, 0
	}
	return nil, nil, wait
}

// nextFrame with the node's mu locked.
func (l *link) nextFrame() (frame, bool) {
	o := &l.out
	switch {
	case o.hello:
		o.hello = false
		return helloFrame(), true
	case len(o.cancels) > 0:
		return keyFrame(kindCancel, shift(&o.cancels)), true
	case len(o.asks) > 0:
		return keyFrame(kindRequest, shift(&o.asks)), true
	case len(o.misses) > 0:
		return keyFrame(kindMiss, shift(&o.misses)), true
	}
	for id := range o.news {
		delete(o.news, id)
		w := l.node.wants[id]
		if w == nil {
			continue
		}
		if o.told[id] == nil {
			o.told[id] = new(set)
		}
		if f, ok := newsFrame(id, w.held, o.told[id]); ok {
			return f, true
		}
	}
	return frame{}, false
}

func shift(q *[]key) key {
	k := (*q)[0]
	*q = (*q)[1:]
	return k
}

// write says what there is to say until ctx ends. Links share the host's line as equals: each sends one chunk after
// another.
func (l *link) write(ctx context.Context) error {
	var buf []byte
	for {
		f, upload, wait := l.next()
		switch {
		case f != nil:
			if err := l.wire.Send(f.kind, f.payload); err != nil {
				return err
			}
		case upload != nil:
			data, head := l.upload(*upload, buf)
			if data != nil {
				buf = data
			}
			if err := l.wire.Send(head.kind, head.payload, data); err != nil {
				return err
			}
		default:
			if err := l.sleep(ctx, wait); err != nil {
				return err
			}
		}
	}
}

// sleep waits until there is something to say, for so long if that is not 0.
func (l *link) sleep(ctx context.Context, wait time.Duration) error {
	var due <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-l.toWriter:
	case <-due:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// upload reads a chunk into buf; one that cannot be read is missed.
func (l *link) upload(k key, buf []byte) ([]byte, frame) {
	l.node.mu.Lock()
	w := l.node.wants[k.blob]
	l.node.mu.Unlock()
	if w != nil {
		data, err := w.blob.Get(k.index, buf)
		if err == nil {
			return data, keyFrame(kindChunk, k)
		}
		if errors.Is(err, chunk.ErrClosed) {
			l.node.dropWant(w)
		}
	}
	l.node.mu.Lock()
	l.node.given(l, k)
	l.node.mu.Unlock()
	return nil, keyFrame(kindMiss, k)
}
