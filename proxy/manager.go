package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	prepareTTL  = 5 * time.Minute // a prepared target that nobody commits is forgotten
	recheckAge  = 2 * time.Second // an older answer is no proof of health at the moment of the switch
	maxPrepared = 16              // of one service
)

// manager owns the services. It changes them one call at a time; requests never wait for it.
type manager struct {
	gate    *gate
	store   store
	checker checker
	log     *slog.Logger
	version string

	life context.Context // of the health checks: ends when the proxy does
	wg   sync.WaitGroup

	mu       sync.Mutex
	services map[string]*service
	bad      map[string]error // services whose state could not be read
}

// service is one service and what hangs on it.
type service struct {
	name     string
	record   record
	live     *live
	active   *upstream
	previous *upstream
	stop     context.CancelFunc // of the active target's health checks
	prepared map[string]*prepared
	draining map[string]*upstream // by target ID
}

type prepared struct {
	placed
	generation int64
	at         time.Time // of the last healthy answer
	expires    time.Time
}

// StaleError is a call of a run that a later one has overtaken.
type StaleError struct {
	Service    string
	Generation int64 // of the call
	Current    int64
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("service %s is at generation %d already, this run is %d: another run has overtaken it", e.Service, e.Current, e.Generation)
}

// restore brings back what served before a restart. Nothing counts as healthy until it was asked.
func (m *manager) restore() error {
	all, bad, err := m.store.load()
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bad = bad
	for name, err := range bad {
		m.log.Error("this service does not serve: its state cannot be read", "service", name, "error", err)
	}
	for name, r := range all {
		s := m.get(name)
		s.record = r
		if r.Previous != nil {
			s.previous = newUpstream(r.Previous.Target, r.Previous.Service)
		}
		m.place(s, r.Active, nil)
	}
	m.publish()
	return nil
}

func (m *manager) get(name string) *service {
	s := m.services[name]
	if s == nil {
		s = &service{name: name, prepared: map[string]*prepared{}, draining: map[string]*upstream{}}
		m.services[name] = s
	}
	return s
}

// place makes p what the service routes to: u if it is running already, else a new upstream.
func (m *manager) place(s *service, p *placed, u *upstream) {
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
	old := s.live
	if p == nil {
		s.live, s.active = nil, nil
		if old != nil {
			old.target.Store(nil)
		}
		return
	}
	if u == nil {
		u = newUpstream(p.Target, p.Service)
	}
	u.draining.Store(false)
	delete(s.draining, u.ID)
	s.active, s.live = u, &live{Service: p.Service}
	s.live.target.Store(u)
	if old != nil {
		old.target.Store(u) // for requests that looked up the old snapshot a moment ago
	}
	ctx, stop := context.WithCancel(m.life)
	s.stop = stop
	m.wg.Go(func() { m.checker.watch(ctx, u, p.Service) })
}

// publish makes a new snapshot for requests.
func (m *manager) publish() {
	var all []*live
	for _, s := range m.services {
		if s.live != nil {
			all = append(all, s.live)
		}
	}
	r := newRoutes(all)
	m.gate.routes.Store(&r)
}

// prepare waits until the target is healthy, and keeps it for a commit. It ends with ctx, that is, with its caller.
func (m *manager) prepare(ctx context.Context, req PrepareRequest, on func(Attempt)) (token string, err error) {
	svc, err := req.Service.withDefaults()
	if err == nil {
		err = req.Target.check()
	}
	if err != nil {
		return "", &refusedError{err}
	}
	if err := m.admit(svc, req.Generation); err != nil {
		return "", err
	}
	wait, stop := context.WithTimeout(ctx, min(max(time.Duration(req.Timeout), time.Millisecond), time.Hour))
	defer stop()
	if err := m.checker.await(wait, req.Target, svc, on); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.get(svc.Name)
	now := time.Now()
	for t, p := range s.prepared {
		if now.After(p.expires) {
			delete(s.prepared, t)
		}
	}
	if len(s.prepared) >= maxPrepared {
		return "", &refusedError{fmt.Errorf("service %s has %d prepared targets that nobody commits", svc.Name, len(s.prepared))}
	}
	token = newRequestID()
	s.prepared[token] = &prepared{placed{svc, req.Target}, req.Generation, now, now.Add(prepareTTL)}
	return token, nil
}

// admit refuses stale runs and routes that belong to another service.
func (m *manager) admit(svc Service, generation int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.services[svc.Name]; s != nil && generation < s.record.Generation {
		return &StaleError{svc.Name, generation, s.record.Generation}
	}
	return m.conflict(svc)
}

func (m *manager) conflict(svc Service) error {
	for name, other := range m.services {
		if name == svc.Name || other.live == nil {
			continue
		}
		if route, yes := svc.Conflicts(other.live.Service); yes {
			return &refusedError{fmt.Errorf("service %s wants %s, which service %s serves", svc.Name, route, name)}
		}
	}
	return nil
}

// commit makes a prepared target the active one: durable first, visible then.
func (m *manager) commit(ctx context.Context, name, token string, generation int64) (Switched, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.services[name]
	if s == nil || s.prepared[token] == nil || time.Now().After(s.prepared[token].expires) {
		return Switched{}, &refusedError{fmt.Errorf("service %s has no such prepared target: it may have expired, or the proxy was restarted", name)}
	}
	p := s.prepared[token]
	if generation < s.record.Generation || generation != p.generation {
		return Switched{}, &StaleError{name, generation, s.record.Generation}
	}
	if err := m.conflict(p.Service); err != nil {
		return Switched{}, err
	}
	if time.Since(p.at) > recheckAge {
		if a := m.checker.check(ctx, p.Target, p.Service); !a.Healthy {
			return Switched{}, &UnhealthyError{Target: p.Target, Path: p.Service.Health.Path, Attempts: []Attempt{a}}
		}
	}
	if err := ctx.Err(); err != nil { // the caller is gone: it will never know, so it must not happen
		return Switched{}, err
	}
	next := record{Generation: generation, Active: &p.placed, Previous: s.record.Active}
	if err := m.store.save(name, next); err != nil {
		return Switched{}, err
	}
	delete(s.prepared, token)
	delete(m.bad, name)
	m.retire(s, s.previous)
	s.previous = s.active
	s.record = next
	m.place(s, next.Active, nil)
	m.publish()
	out := Switched{}
	if next.Previous != nil {
		out.Previous = &next.Previous.Target
	}
	return out, nil
}

// retire keeps a target in sight while requests are still with it.
func (m *manager) retire(s *service, u *upstream) {
	if u != nil && u.inFlight.Load() > 0 {
		s.draining[u.ID] = u
	}
}

// undo goes back to what served before the commit of this generation. Without such a commit there is nothing to undo.
func (m *manager) undo(name string, generation int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.services[name]
	if s == nil {
		return nil
	}
	for t, p := range s.prepared {
		if p.generation == generation {
			delete(s.prepared, t)
		}
	}
	switch {
	case s.record.Generation < generation:
		return nil
	case s.record.Generation > generation:
		return &StaleError{name, generation, s.record.Generation}
	}
	next := record{Generation: generation, Active: s.record.Previous}
	if s.active != nil && next.Active == nil && s.record.Active == nil {
		return nil
	}
	if err := m.store.save(name, next); err != nil {
		return err
	}
	undone, back := s.active, s.previous
	s.record, s.previous = next, nil
	m.place(s, next.Active, back)
	if undone != nil {
		s.draining[undone.ID] = undone
	}
	m.publish()
	return nil
}

// drain waits until no request is with the target any more, or ends those that are at the deadline.
func (m *manager) drain(ctx context.Context, name, target string, timeout time.Duration) (Drained, error) {
	m.mu.Lock()
	s := m.services[name]
	var u *upstream
	if s != nil {
		switch {
		case s.active != nil && s.active.ID == target:
			m.mu.Unlock()
			return Drained{}, &refusedError{fmt.Errorf("target %.12s is the active one of service %s", target, name)}
		case s.previous != nil && s.previous.ID == target:
			u = s.previous
		default:
			u = s.draining[target]
		}
	}
	if u == nil {
		m.mu.Unlock()
		return Drained{}, nil // nothing is with a target that nobody knows
	}
	u.draining.Store(true)
	s.draining[target] = u
	m.mu.Unlock()

	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	d := u.drain(ctx)
	if d.InFlight == 0 {
		m.mu.Lock()
		if s.draining[target] == u {
			delete(s.draining, target)
		}
		m.mu.Unlock()
		u.close()
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return d, ctx.Err()
	}
	return d, nil
}

// remove takes a service away at once.
func (m *manager) remove(name string, generation int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.services[name]
	if s == nil {
		return m.store.remove(name)
	}
	if generation < s.record.Generation {
		return &StaleError{name, generation, s.record.Generation}
	}
	if err := m.store.remove(name); err != nil {
		return err
	}
	m.place(s, nil, nil)
	delete(m.services, name)
	m.publish()
	return nil
}

// refusedError is a call that cannot be done as it is.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }
