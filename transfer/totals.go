package transfer

import (
	"sync"
	"time"

	"ship/internal/event"
)

// totals counts what came to all hosts together, by where it came from.
type totals struct {
	emit event.Func

	mu     sync.Mutex
	uplink int64 // bytes sent from here
	peers  int64 // bytes that hosts got from each other
	saved  int64 // bytes that patches made unnecessary
	told   time.Time
}

// add counts bytes, and what patches made unnecessary.
func (t *totals) add(uplink, peers, saved int64) {
	if t == nil {
		return // nobody wants to know
	}
	t.mu.Lock()
	t.uplink, t.peers, t.saved = t.uplink+uplink, t.peers+peers, t.saved+saved
	tell := time.Since(t.told) >= tellEvery
	if tell {
		t.told = time.Now()
	}
	t.mu.Unlock()
	if tell {
		t.tell()
	}
}

// tell says where things stand.
func (t *totals) tell() {
	t.mu.Lock()
	e := event.Event{Type: event.Total, Uplink: t.uplink, Peers: t.peers, Saved: max(t.saved, 0)}
	t.mu.Unlock()
	t.emit.Emit(e)
}
