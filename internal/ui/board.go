package ui

import (
	"time"

	"ship/internal/event"
)

// Limits of what is remembered, whatever is emitted.
const (
	maxHosts  = 10_000
	maxPhases = 32
	maxItems  = 2000
)

// stalledAfter is how long bytes may stand still before we say so.
const stalledAfter = 5 * time.Second

// board is the state of all hosts: what the frame shows.
type board struct {
	hosts map[string]*host
	order []*host
	sums  sums
}

// host is one line of the frame. The controller itself is the host "".
type host struct {
	name   string
	phase  string
	since  time.Time // of the phase
	bytes  map[string]*progress
	rate   rate
	logged mark // plain mode: what was told last
}

// progress is of one phase on one host: told as a whole, or by its items.
type progress struct {
	done, total int64
	moved       time.Time // when done changed last
	whole       bool
	items       map[string][2]int64
}

func (p *progress) set(e event.Event, now time.Time) {
	defer func(before int64) {
		if p.done != before {
			p.moved = now
		}
	}(p.done)
	if e.Item == "" {
		p.whole, p.done, p.total = true, e.Done, e.Total
		return
	}
	if p.whole || len(p.items) >= maxItems {
		return
	}
	if p.items == nil {
		p.items = make(map[string][2]int64)
	}
	old := p.items[e.Item]
	p.items[e.Item] = [2]int64{e.Done, e.Total}
	p.done += e.Done - old[0]
	p.total += e.Total - old[1]
}

// apply takes an event in.
func (b *board) apply(e event.Event, now time.Time) {
	if e.Type == event.Total {
		b.sums.set(e)
		return
	}
	h := b.hosts[e.Host]
	if h == nil {
		if e.Type != event.Phase && e.Type != event.Progress || len(b.order) >= maxHosts {
			return
		}
		if b.hosts == nil {
			b.hosts = make(map[string]*host)
		}
		h = &host{name: visible(e.Host), since: now, bytes: make(map[string]*progress)}
		if e.Host == "" {
			h.name = "here"
		}
		b.hosts[e.Host] = h
		b.order = append(b.order, h)
	}
	switch e.Type {
	case event.Phase:
		h.enter(visible(e.Phase), now)
	case event.Progress:
		phase := visible(e.Phase)
		if phase == "" {
			phase = h.phase
		}
		if h.phase == "" {
			h.enter(phase, now)
		}
		if h.bytes[phase] == nil && len(h.bytes) < maxPhases {
			h.bytes[phase] = &progress{}
		}
		if p := h.bytes[phase]; p != nil {
			p.set(e, now)
		}
	}
}

func (h *host) enter(phase string, now time.Time) {
	if h.phase != phase {
		h.phase, h.since, h.rate, h.logged = phase, now, rate{}, mark{}
	}
}

// now is the progress of the phase that the host is in, or nil.
func (h *host) now() *progress { return h.bytes[h.phase] }

// idle is for how long nothing of the host's bytes has moved, and what to call that; 0 while they move, and where no
// bytes are to come.
func (h *host) idle(now time.Time) (time.Duration, string) {
	p := h.now()
	if p == nil || p.done >= p.total {
		return 0, ""
	}
	since, word := p.moved, "stalled"
	if p.done == 0 {
		word = "waiting"
	}
	if h.since.After(since) {
		since = h.since
	}
	d := now.Sub(since)
	if d <= stalledAfter {
		return 0, ""
	}
	return d, word
}
