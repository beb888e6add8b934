package proxy

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// Halt keeps new requests from a service's target. It belongs to the service, not to a release: deploys, restarts and
// upgrades of the proxy leave it as it is, and only who resumes the service, or removes it, ends it.
type Halt struct {
	Kind       HaltKind  `json:"kind"`
	Message    string    `json:"message,omitempty"`     // for clients; "" = the proxy's own words
	RetryAfter Duration  `json:"retry_after,omitempty"` // that clients are told; 0 = nothing
	For        Duration  `json:"for,omitempty"`         // a pause lasts so long at most; 0 = 30 s
	Since      time.Time `json:"since"`                 // the proxy's to say
	Until      time.Time `json:"until,omitzero"`        // the same; of a pause
}

// HaltKind is what becomes of the requests.
type HaltKind string

// What becomes of the requests.
const (
	Maintenance HaltKind = "maintenance" // they are answered with 503
	Pause       HaltKind = "pause"       // they wait, and go on when it is ended; it ends by itself too, and then they get 503
)

// Limits of what a halt may say.
const (
	maxHaltMessage = 1000 // bytes
	maxRetryAfter  = 7 * 24 * time.Hour
	maxPause       = 10 * time.Minute
	defaultPause   = 30 * time.Second
)

// Check tells what is wrong with it.
func (h Halt) Check() error {
	switch {
	case h.Kind != Maintenance && h.Kind != Pause:
		return fmt.Errorf("halt of kind %.20q: this proxy does not know it", h.Kind)
	case len(h.Message) > maxHaltMessage:
		return fmt.Errorf("the message has %d bytes, at most %d are allowed", len(h.Message), maxHaltMessage)
	case h.RetryAfter < 0 || time.Duration(h.RetryAfter) > maxRetryAfter:
		return fmt.Errorf("retry after %s: want at most %s", time.Duration(h.RetryAfter), maxRetryAfter)
	case h.For != 0 && h.Kind != Pause:
		return fmt.Errorf("%s does not end by itself, it was to last %s", h.Kind, time.Duration(h.For))
	case h.For < 0 || time.Duration(h.For) > maxPause:
		return fmt.Errorf("a pause lasts at most %s, not %s", maxPause, time.Duration(h.For))
	}
	return nil
}

// over tells whether a pause has ended by itself.
func (h *Halt) over() bool { return h.Kind == Pause && !time.Now().Before(h.Until) }

// seconds is d as Retry-After has it: rounded up, for who comes too early comes in vain.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// halt keeps new requests from a service, durable first.
func (m *manager) halt(ctx context.Context, name string, h *Halt) error {
	if h == nil {
		return &refusedError{fmt.Errorf("service %.80s: no halt is given", name)}
	}
	next := *h
	next.Since, next.Until = time.Now().UTC().Round(0), time.Time{}
	if err := next.Check(); err != nil {
		return &refusedError{fmt.Errorf("service %.80s: %w", name, err)}
	}
	if next.Kind == Pause {
		next.For = cmp.Or(next.For, Duration(defaultPause))
		next.Until = next.Since.Add(time.Duration(next.For))
	}
	return m.turn(ctx, name, func(now *Halt) (*Halt, error) {
		if next.Kind == Pause && now != nil && now.Kind == Maintenance {
			return nil, &refusedError{fmt.Errorf("service %s is in maintenance: there is nothing to pause", name)}
		}
		return &next, nil
	})
}

// resumed is the answer to resume.
type resumed struct {
	Was bool `json:"was"` // there was such a halt
}

// resume ends a halt of that kind, if there is one.
func (m *manager) resume(ctx context.Context, name string, kind HaltKind) (r resumed, err error) {
	err = m.turn(ctx, name, func(now *Halt) (*Halt, error) {
		if now == nil || now.Kind != kind {
			return now, nil
		}
		r.Was = !now.over()
		return nil, nil
	})
	return r, err
}

// turn saves what to makes of a service's halt, and lets it count.
func (m *manager) turn(ctx context.Context, name string, to func(*Halt) (*Halt, error)) error {
	if err := m.change(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	s := m.services[name]
	if s == nil || s.live == nil {
		return &refusedError{fmt.Errorf("there is no service %.80s here", name)}
	}
	next := s.record
	var err error
	if next.Halt, err = to(s.record.Halt); err != nil || next.Halt == s.record.Halt {
		return err
	}
	if err := m.store.save(name, next); err != nil {
		return err
	}
	s.record = next
	s.valve.set(next.Halt)
	return nil
}
