package proxy

import (
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// RateLimit is how many requests a client may make: an IPv4 address is one, and so is a /64 of IPv6, which is what one
// client has. Each release counts anew.
type RateLimit struct {
	Requests int      `json:"requests"`
	Per      Duration `json:"per"`
	Burst    int      `json:"burst,omitempty"` // at once, after a rest; 0 = those of one second, at least one
}

const (
	maxRate    = 1_000_000
	maxPer     = 24 * time.Hour
	maxClients = 1 << 16 // of a service that are remembered, about 50 bytes each
)

func (l RateLimit) check() error {
	if l.Requests < 1 || l.Requests > maxRate || l.Per < Duration(time.Second) || time.Duration(l.Per) > maxPer || l.Burst < 0 || l.Burst > maxRate {
		return errors.New("rate limit: want 1 to 1000000 requests in a second to a day")
	}
	return nil
}

// pacer counts the requests of clients. For each it keeps one number: the time at which its requests so far would have
// been made, had they come evenly (GCRA: a bucket of tokens with one field). A client whose time has passed is as good as
// one that was never seen; so forgetting it changes nothing.
type pacer struct {
	every time.Duration // between two requests that come evenly
	slack time.Duration // how far ahead of that a client may be: its burst
	start time.Time

	mu          sync.Mutex
	recent, old map[netip.Addr]time.Duration // since start; what is not in recent is moved there when it comes
}

// newPacer takes what was checked; nil = no limit.
func newPacer(l *RateLimit) *pacer {
	if l == nil || l.check() != nil {
		return nil
	}
	every, burst := time.Duration(l.Per)/time.Duration(l.Requests), l.Burst
	if burst == 0 {
		burst = max(1, int((time.Second+every-1)/every))
	}
	return &pacer{every: every, slack: time.Duration(burst-1) * every, start: time.Now(), recent: map[netip.Addr]time.Duration{}}
}

// take counts a request in, or tells when the next one may come.
func (p *pacer) take(client netip.Addr, at time.Time) (wait time.Duration, ok bool) {
	now := at.Sub(p.start)
	p.mu.Lock()
	defer p.mu.Unlock()
	due, known := p.recent[client]
	if !known {
		due = p.old[client]
	}
	due = max(due, now)
	if ahead := due - now; ahead > p.slack {
		return ahead - p.slack, false
	}
	if !known && len(p.recent) >= maxClients/2 {
		p.old, p.recent = p.recent, make(map[netip.Addr]time.Duration)
	}
	p.recent[client] = due + p.every
	return 0, true
}

// clientKey is who an address counts as. Those that are none, of a peer on a unix socket, say, are one client.
func clientKey(s string) netip.Addr {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	if a = a.Unmap().WithZone(""); a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// paced tells whether a request may go on; otherwise it has been answered.
func (s *live) paced(w http.ResponseWriter, r *http.Request, o origin) bool {
	if s.pacer == nil {
		return true
	}
	wait, ok := s.pacer.take(clientKey(o.client), time.Now())
	if !ok {
		writePage(w, r, http.StatusTooManyRequests, "These are too many requests.", max(1, seconds(wait)))
	}
	return ok
}
