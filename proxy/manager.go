package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// manager owns the services. It changes them one call at a time; requests never wait for it.
type manager struct {
	gate    *gate
	store   store
	checker checker
	log     *slog.Logger
	version string
	handing

	instance string // see Options.Instance

	ttl        time.Duration   // of a prepared target
	hold       time.Duration   // see Options.Hold
	renewEvery time.Duration   // see Options.RenewEvery
	life       context.Context // of the health checks: ends when the proxy does
	wg         sync.WaitGroup

	mu       sync.Mutex
	openTLS  func() error // makes the proxy listen for https; called with the lock held
	services map[string]*service
	certs    certStore
	enrolled map[string]*enrolled
	bad      map[string]error // services whose state could not be read
}

// service is one service and what hangs on it.
type service struct {
	name     string
	record   record
	live     *live              // nil: none
	stop     context.CancelFunc // of the active targets' health checks
	prepared map[string]*prepared
	leaving  []*upstream // no longer active; requests may still be with them
	valve    valve
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
	if m.certs, err = m.store.loadPairs(); err != nil {
		return err
	}
	if m.enrolled, err = m.store.loadEnrolments(func(name string, err error) {
		m.log.Error("this service gets no certificates: its account cannot be read", "service", name, "error", err)
	}); err != nil {
		return err
	}
	for name, err := range m.certs.wrong {
		m.log.Error("this service has no https: its certificate cannot be read", "service", name, "error", err)
	}
	for name, err := range bad {
		m.log.Error("this service does not serve: its state cannot be read", "service", name, "error", err)
	}
	for name, r := range all {
		m.activate(m.get(name), r, nil)
	}
	return nil
}

func (m *manager) get(name string) *service {
	s := m.services[name]
	if s == nil {
		s = &service{name: name, prepared: map[string]*prepared{}}
		m.services[name] = s
	}
	return s
}

// activate makes r what the service serves by; health is what its targets answered last, none if they were not asked yet.
func (m *manager) activate(s *service, r record, health []Attempt) {
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
	old := s.live
	s.record, s.live = r, nil
	s.valve.set(r.Halt)
	if r.Active != nil {
		var targets []*upstream
		ctx, stop := context.WithCancel(m.life)
		s.stop = stop
		for i, t := range r.Active.targets() {
			u := newUpstream(m.life, t, r.Active.Service, m.hold)
			if i < len(health) {
				u.know(health[i])
			}
			targets = append(targets, u)
			m.wg.Go(func() { m.watch(ctx, u, r.Active.Service) })
		}
		s.live = newLive(r.Active.Service, targets...)
		s.live.valve, s.live.pages = &s.valve, m.readPages(r.Active.Service)
	}
	m.publish()
	if old != nil { // after the new snapshot is there: who is turned away routes again, by that
		for _, u := range old.targets.all {
			u.leave()
		}
		s.leaving = append(s.leaving, old.targets.all...)
	}
	s.sweep()
}

// sweep forgets the targets that the last request has left.
func (s *service) sweep() {
	s.leaving = slices.DeleteFunc(s.leaving, func(u *upstream) bool {
		gone := u.inFlight.Load() == 0
		if gone {
			u.end()
		}
		return gone
	})
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
	certs := m.certs.snapshot(all)
	m.gate.secure.certs.Store(&certs)
	told := newAnswers(m.enrolled, m.services)
	m.gate.secure.answers.Store(&told)
}

// cutAll ends all that is still in flight, properly where the protocol has a way to say so.
func (m *manager) cutAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.services {
		if s.live != nil {
			for _, u := range s.live.targets.all {
				u.end()
			}
		}
		for _, u := range s.leaving {
			u.end()
		}
	}
}

// commit makes prepared targets the active ones: durable first, visible then.
func (m *manager) commit(ctx context.Context, name, token string, generation int64) (Switched, error) {
	if err := m.change(ctx); err != nil {
		return Switched{}, err
	}
	p, err := m.committable(name, token, generation)
	m.mu.Unlock()
	if err != nil {
		return Switched{}, err
	}
	// That it was healthy when it was prepared proves nothing now. Others do not wait for the answer.
	health := m.checker.checkAll(ctx, p.placed)
	if err := m.change(ctx); err != nil {
		return Switched{}, err
	}
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil { // the caller is gone: it will never know, so it must not happen
		return Switched{}, err
	}
	for i, t := range p.targets() {
		if !health[i].Healthy {
			return Switched{}, &UnhealthyError{Target: t, Path: p.Service.Health.Path, Attempts: []Attempt{health[i]}}
		}
	}
	if p, err = m.committable(name, token, generation); err != nil {
		return Switched{}, err
	}
	s := m.services[name]
	next := record{Generation: generation, Active: &p.placed, Previous: s.record.Active, Halt: s.record.Halt}
	if s.record.Generation == generation && s.record.Active != nil && !s.record.Undone {
		next.Previous = s.record.Previous // an undo takes the whole run back
	}
	if err := m.store.save(name, next); err != nil {
		return Switched{}, err
	}
	out := Switched{}
	if s.record.Active != nil {
		out.Previous = &s.record.Active.Target
	}
	maps.DeleteFunc(s.prepared, func(t string, p *prepared) bool { return t == token || p.generation < generation })
	delete(m.bad, name)
	m.activate(s, next, health)
	m.gate.metrics.of(name).switches.Add(1)
	return out, nil
}

// undo goes back to what served before the commits of this generation. Without any there is nothing to undo.
func (m *manager) undo(ctx context.Context, name string, generation int64) error {
	if err := m.change(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	s := m.services[name]
	if s == nil {
		return nil
	}
	maps.DeleteFunc(s.prepared, func(_ string, p *prepared) bool { return p.generation == generation })
	switch {
	case s.record.Generation > generation:
		return &StaleError{name, generation, s.record.Generation}
	case s.record.Generation < generation || s.record.Undone || s.record.Active == nil:
		return nil
	}
	next := record{Generation: generation, Active: s.record.Previous, Undone: true, Halt: s.record.Halt}
	if err := m.store.save(name, next); err != nil {
		return err
	}
	m.activate(s, next, nil)
	m.gate.metrics.of(name).undone.Add(1)
	return nil
}

// drain waits until no request is with the target any more, or ends those that are at the deadline.
func (m *manager) drain(ctx context.Context, name, target string, timeout time.Duration) (Drained, error) {
	m.mu.Lock()
	var leaving []*upstream // a target that was active more than once is there more than once
	s := m.services[name]
	if s != nil && s.live != nil && slices.ContainsFunc(s.live.targets.all, func(u *upstream) bool { return u.ID == target }) {
		m.mu.Unlock()
		return Drained{}, &refusedError{fmt.Errorf("target %.12s is an active one of service %s", target, name)}
	}
	if s != nil {
		for _, u := range s.leaving {
			if u.ID == target {
				leaving = append(leaving, u)
			}
		}
	}
	m.mu.Unlock()
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	d, err := drain(ctx, leaving)
	if s != nil {
		m.mu.Lock()
		s.sweep()
		m.mu.Unlock()
		m.gate.metrics.drained(name, d)
	}
	return d, err
}

// remove takes a service away at once. Its generation stays, so that a run which it overtook cannot bring it back.
func (m *manager) remove(ctx context.Context, name string, generation int64) error {
	if err := checkName(name); err != nil {
		return &refusedError{err}
	}
	if err := m.change(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	s := m.services[name]
	if s == nil && m.bad[name] == nil && m.enrolled[name] == nil {
		return nil
	}
	s = m.get(name)
	if generation < s.record.Generation {
		return &StaleError{name, generation, s.record.Generation}
	}
	next := record{Generation: generation, Undone: true}
	if err := m.store.save(name, next); err != nil {
		return err
	}
	clear(s.prepared)
	delete(m.bad, name)
	m.dropPairs(name)
	m.dropEnrolment(name)
	m.activate(s, next, nil)
	return nil
}
