package ui

import (
	"fmt"
	"strings"
	"time"

	"ship/internal/event"
)

// sums are where the bytes of all hosts came from.
type sums struct {
	uplink, peers, saved int64
	known                bool
	logged               time.Time // plain mode: when they were told last
	told                 string    // and as what
}

func (s *sums) set(e event.Event) {
	s.uplink, s.peers, s.saved, s.known = e.Uplink, e.Peers, e.Saved, true
}

// widestSums is the longest text of sums that lines are laid out for.
const widestSums = "uplink 123.4 MB, from peers 123.4 MB, saved by delta 123.4 MB"

func (s *sums) text() string {
	return "uplink " + Bytes(s.uplink) + ", from peers " + Bytes(s.peers) + ", saved by delta " + Bytes(s.saved)
}

// main is the phase that most hosts with bytes to come are in, or "".
func (b *board) main() string {
	moving := make(map[string]int)
	best := ""
	for _, h := range b.order {
		if h.busy() {
			moving[h.phase]++
		}
	}
	for _, h := range b.order { // in the hosts' order, so that a draw is always won by the same
		if moving[h.phase] > moving[best] {
			best = h.phase
		}
	}
	return best
}

// total adds up the bytes of the main phase, or counts the phases.
func (b *board) total(names int, d detail, now time.Time) string {
	s := pad("total", names) + "  "
	if phase := b.main(); phase != "" {
		return s + pad(fit(phase, phaseColumns), phaseColumns) + "  " + b.sum(phase, d, now)
	}
	var phases []string
	count := make(map[string]int)
	for _, h := range b.order {
		if count[h.phase] == 0 {
			phases = append(phases, h.phase)
		}
		count[h.phase]++
	}
	for i, p := range phases {
		phases[i] = fmt.Sprintf("%d %s", count[p], p)
	}
	return s + strings.Join(phases, ", ")
}

// sum adds up what all hosts have of a phase.
func (b *board) sum(phase string, d detail, now time.Time) string {
	s := b.all(phase, now)
	text := d.text(s.done, s.total)
	if s.idle > 0 {
		return text + stall(s.idle, s.word)
	}
	return text + d.pace(s.done, s.total, &s.rate) + timeLeft(s.left, s.known)
}

// whole is what all hosts together have of a phase.
type whole struct {
	done, total int64
	rate        rate
	left        time.Duration // until the slowest has all
	known       bool          // left is, which nobody can say while a host stands still
	idle        time.Duration // nothing has moved on any host; 0 while something does
	word        string        // what to call that
}

func (b *board) all(phase string, now time.Time) whole {
	s := whole{known: true}
	moving, waiting := 0, 0
	for _, h := range b.order {
		p := h.bytes[phase]
		if p == nil {
			continue
		}
		s.done += p.done
		s.total += p.total
		if h.phase != phase || p.done >= p.total {
			continue
		}
		moving++
		s.rate.value += h.rate.value
		s.rate.known = s.rate.known || h.rate.known
		left, ok := h.rate.left(p.done, p.total)
		idle, word := h.idle(now)
		s.left, s.known = max(s.left, left), s.known && ok && idle == 0
		if idle > 0 {
			if waiting++; waiting == 1 || idle < s.idle {
				s.idle, s.word = idle, word
			}
		}
	}
	if waiting < moving {
		s.idle = 0
	}
	return s
}

// busy tells whether bytes of the host's phase are to come.
func (h *host) busy() bool {
	p := h.now()
	return p != nil && p.done < p.total
}
