package proxy

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// Halt keeps new requests from a service's target. It belongs to the service, not to a release: deploys, restarts and
// upgrades of the proxy leave it as it is, and only who resumes the service, or removes it, ends it.
type Halt struct {
	Kind       HaltKind  `json:"kind"`
	Message    string    `json:"message,omitempty"`     // for clients; "" = the proxy's own words
	RetryAfter Duration  `json:"retry_after,omitempty"` // that clients are told; 0 = nothing
	Since      time.Time `json:"since"`                 // the proxy's to say
}

// HaltKind is what becomes of the requests.
type HaltKind string

// Maintenance answers requests with 503.
const Maintenance HaltKind = "maintenance"

// Limits of what a halt may say.
const (
	maxHaltMessage = 1000 // bytes
	maxRetryAfter  = 7 * 24 * time.Hour
)

func (h Halt) check() error {
	switch {
	case h.Kind != Maintenance:
		return fmt.Errorf("halt of kind %.20q: this proxy does not know it", h.Kind)
	case len(h.Message) > maxHaltMessage:
		return fmt.Errorf("the message has %d bytes, at most %d are allowed", len(h.Message), maxHaltMessage)
	case h.RetryAfter < 0 || time.Duration(h.RetryAfter) > maxRetryAfter:
		return fmt.Errorf("retry after %s: want at most %s", time.Duration(h.RetryAfter), maxRetryAfter)
	}
	return nil
}

// valve is a service's halt as requests meet it, and stays the same through all its releases. Open is a nil halt.
type valve struct{ halt atomic.Pointer[Halt] }

func (v *valve) set(h *Halt) { v.halt.Store(h) }

// state is the halt that counts now; nil = none.
func (v *valve) state() *Halt {
	if v == nil { // a service that no manager has
		return nil
	}
	return v.halt.Load()
}

// open tells whether a request may go on to its target; otherwise it has been answered.
func (g *gate) open(w http.ResponseWriter, r *http.Request, x *exchange) bool {
	h := x.service.valve.state()
	if h == nil {
		return true
	}
	text := h.Message
	if text == "" {
		text = "This is being worked on, and will be back soon."
	}
	writePage(w, r, http.StatusServiceUnavailable, text, seconds(time.Duration(h.RetryAfter)))
	return false
}

// seconds is d as Retry-After has it: rounded up, for who comes too early comes in vain.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// halt keeps new requests from a service, durable first.
func (m *manager) halt(ctx context.Context, name string, h *Halt) error {
	if h == nil {
		return &refusedError{fmt.Errorf("service %.80s: no halt is given", name)}
	}
	next := *h
	next.Since = time.Now().UTC().Round(0)
	if err := next.check(); err != nil {
		return &refusedError{fmt.Errorf("service %.80s: %w", name, err)}
	}
	return m.turn(ctx, name, func(*Halt) *Halt { return &next })
}

// resumed is the answer to resume.
type resumed struct {
	Was bool `json:"was"` // there was such a halt
}

// resume ends a halt of that kind, if there is one.
func (m *manager) resume(ctx context.Context, name string, kind HaltKind) (r resumed, err error) {
	err = m.turn(ctx, name, func(now *Halt) *Halt {
		if r.Was = now != nil && now.Kind == kind; r.Was {
			return nil
		}
		return now
	})
	return r, err
}

// turn saves what to makes of a service's halt, and lets it count.
func (m *manager) turn(ctx context.Context, name string, to func(*Halt) *Halt) error {
	if err := m.change(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	s := m.services[name]
	if s == nil || s.live == nil {
		return &refusedError{fmt.Errorf("there is no service %.80s here", name)}
	}
	next := s.record
	if next.Halt = to(s.record.Halt); next.Halt == s.record.Halt {
		return nil
	}
	if err := m.store.save(name, next); err != nil {
		return err
	}
	s.record = next
	s.valve.set(next.Halt)
	return nil
}
