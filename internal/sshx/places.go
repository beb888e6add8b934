package sshx

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

const (
	firstProbe = 10 * time.Millisecond // after a refusal: sshd gives a place back a moment after its session ended
	lastProbe  = 2 * time.Second
)

// places are the sessions that a connection may have at a time. How many the host allows (MaxSessions) shows only when
// it refuses one: the limit is then what is open at that moment. From time to time the first in line tries one more,
// since the host may have been busy with sessions that were on their way out.
type places struct {
	mu    sync.Mutex
	most  int // that we ever use
	limit int // that the host allows, as far as we know
	taken int // opened, or about to be
	open  int // opened
	next  uint64
	line  []*waiter // by ticket
}

// waiter is one in line.
type waiter struct {
	ticket uint64
	turn   chan struct{} // closed when it has a place
}

func newPlaces(most int) *places { return &places{most: most, limit: most} }

// ticket is a place in line, which is kept through refusals.
func (p *places) ticket() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	return p.next
}

// wish is how somebody wants a place.
type wish struct {
	ticket uint64
	probe  time.Duration // the first in line tries one above the limit each time
	leave  time.Duration // leave with errFull after that, if the host allows fewer than we use; 0 = never
}

// take waits for a place. The error is errFull or the cause of ctx; nil with ok = false once over is closed.
func (p *places) take(ctx context.Context, over <-chan struct{}, want wish) (ok bool, err error) {
	w := p.enqueue(want.ticket)
	tick := time.NewTicker(want.probe)
	defer tick.Stop()
	var late <-chan time.Time
	if want.leave > 0 {
		t := time.NewTicker(want.leave)
		defer t.Stop()
		late = t.C
	}
	for {
		select {
		case <-w.turn:
			return true, nil
		case <-tick.C:
			if p.probe(w) {
				return true, nil
			}
			continue
		case <-late:
			if !p.short() {
				continue
			}
			err = errFull
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-over:
		}
		p.dequeue(w)
		return false, err
	}
}

func (p *places) enqueue(ticket uint64) *waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &waiter{ticket, make(chan struct{})}
	i, _ := slices.BinarySearchFunc(p.line, ticket, func(w *waiter, t uint64) int { return cmp.Compare(w.ticket, t) })
	p.line = slices.Insert(p.line, i, w)
	p.grant()
	return w
}

// dequeue takes back that w wants a place, or the place if it has one by now.
func (p *places) dequeue(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.line, w); i >= 0 {
		p.line = slices.Delete(p.line, i, i+1)
	} else {
		p.taken--
	}
	p.grant()
}

// probe gives w a place above the limit, if it is its turn to try that.
func (p *places) probe(w *waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.line) == 0 || p.line[0] != w || p.taken >= p.most || p.taken > p.open {
		return false // or another try is under way
	}
	p.line = p.line[1:]
	p.taken++
	return true
}

func (p *places) grant() {
	for len(p.line) > 0 && p.taken < p.limit {
		close(p.line[0].turn)
		p.line = p.line[1:]
		p.taken++
	}
}

// opened notes that the host opened a session at a place.
func (p *places) opened() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open++
	p.limit = max(p.limit, p.open)
}

// refused gives a place back that the host did not have; it returns how many sessions are open.
func (p *places) refused() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	p.limit = min(p.limit, max(1, p.open))
	p.grant()
	return p.open
}

// leave gives a place back; opened tells whether a session was opened at it.
func (p *places) leave(opened bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if opened {
		p.open--
	}
	p.grant()
}

// learn takes over what another connection to the host found out.
func (p *places) learn(limit int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = min(p.limit, limit)
}

// short tells whether the host allows fewer than we use.
func (p *places) short() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limit < p.most
}

// size is how many sessions may be open at a time, as far as is known.
func (p *places) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limit
}
