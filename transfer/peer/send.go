package peer

import (
	"context"
	"errors"

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

// next takes out what goes first: an upload, or else a frame.
func (l *link) next() (f frame, upload *key, ok bool) {
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	o := &l.out
	switch {
	case o.hello:
		o.hello = false
		return helloFrame(), nil, true
	case len(o.cancels) > 0:
		return keyFrame(kindCancel, shift(&o.cancels)), nil, true
	case len(o.asks) > 0:
		return keyFrame(kindRequest, shift(&o.asks)), nil, true
	case len(o.misses) > 0:
		return keyFrame(kindMiss, shift(&o.misses)), nil, true
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
			return f, nil, true
		}
	}
	if len(o.uploads) > 0 {
		k := shift(&o.uploads)
		return frame{}, &k, true
	}
	if o.ping {
		o.ping = false
		return frame{kind: kindPing}, nil, true
	}
	return frame{}, nil, false
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
		f, upload, ok := l.next()
		if !ok {
			select {
			case <-l.toWriter:
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if upload != nil {
			var data []byte
			if data, f = l.upload(*upload, buf); data != nil {
				buf = data
			}
			if err := l.wire.Send(f.kind, f.payload, data); err != nil {
				return err
			}
			continue
		}
		if err := l.wire.Send(f.kind, f.payload); err != nil {
			return err
		}
	}
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
	return nil, keyFrame(kindMiss, k)
}
