package ui

import (
	"math"
	"time"

	"ship/internal/event"
)

// Limits of what is remembered, whatever is emitted.
const (
	maxHosts  = 10_000
	maxPhases = 32
	maxItems  = 2000
)

// board is the state of all hosts: what the frame shows.
type board struct {
	hosts map[string]*host
	order []*host
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
	whole       bool
	items       map[string][2]int64
}

func (p *progress) set(e event.Event) {
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
			p.set(e)
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

// rate is bytes a second over the last seconds: what is longer ago counts less.
type rate struct {
	at             time.Time
	done           int64
	bytes, seconds float64 // weighted sums
	value          float64
	known          bool
}

// sample takes in how much is done by now.
func (r *rate) sample(done int64, now time.Time) {
	dt := now.Sub(r.at).Seconds()
	if r.at.IsZero() || dt < 0 {
		r.at, r.done = now, done
		return
	}
	if dt < 0.05 {
		return
	}
	const memory = 3 // seconds, in which a sample's weight falls to about a third
	keep := math.Exp(-dt / memory)
	r.bytes = r.bytes*keep + max(0, float64(done)-float64(r.done))
	r.seconds = r.seconds*keep + dt
	r.at, r.done = now, done
	r.value, r.known = r.bytes/r.seconds, r.seconds > 0.45
}

// left is how long the rest takes at this rate; ok = false if nobody can say.
func (r *rate) left(done, total int64) (time.Duration, bool) {
	if !r.known || r.value < 1 || total <= done {
		return 0, false
	}
	seconds := float64(total-done) / r.value
	return time.Duration(seconds * float64(time.Second)), seconds < 100*3600
}
