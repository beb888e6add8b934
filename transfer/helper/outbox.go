package helper

import (
	"context"
	"sync"

	"ship/transfer/wire"
)

// outbox gathers the news about chunks, so that many small ones make few frames and nobody waits for the controller.
type outbox struct {
	ready chan struct{}

	mu   sync.Mutex
	news map[uint32][]wire.HaveItem
	bad  []wire.Failed
}

// have notes a new chunk; from is the peer, "" = the controller.
func (o *outbox) have(blob uint32, index int, from string) {
	item := wire.HaveItem{Index: uint32(index), From: wire.FromPeer}
	if from == "" {
		item.From = wire.FromUplink
	}
	o.mu.Lock()
	if o.news == nil {
		o.news = make(map[uint32][]wire.HaveItem)
	}
	o.news[blob] = append(o.news[blob], item)
	o.mu.Unlock()
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// failed notes a blob that cannot be stored.
func (o *outbox) failed(blob uint32, err error) {
	o.mu.Lock()
	o.bad = append(o.bad, failure(blob, err))
	o.mu.Unlock()
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// flush sends the news until ctx ends.
func (o *outbox) flush(ctx context.Context, to *wire.Conn, stop context.CancelCauseFunc) {
	for {
		select {
		case <-o.ready:
		case <-ctx.Done():
			return
		}
		o.mu.Lock()
		news, bad := o.news, o.bad
		o.news, o.bad = nil, nil
		o.mu.Unlock()
		for _, f := range bad {
			if err := to.SendJSON(wire.KindFailed, f); err != nil {
				stop(err)
				return
			}
		}
		for blob, items := range news {
			if err := to.SendHave(wire.Have{Blob: blob, Items: items}); err != nil {
				stop(err)
				return
			}
		}
	}
}
