package proxy

import (
	"context"
	"fmt"
	"maps"
	"time"
)

const (
	prepareTTL  = time.Hour // a prepared target that nobody commits is forgotten
	maxPrepared = 16        // of one service; the oldest makes room
)

// prepared is a target that was healthy, and waits for its commit.
type prepared struct {
	placed
	generation int64
	expires    time.Time
}

// prepare waits until the target is healthy, and keeps it for a commit. It ends with ctx, that is, with its caller.
func (m *manager) prepare(ctx context.Context, req PrepareRequest, on func(Attempt)) (token string, err error) {
	svc, err := req.Service.withDefaults()
	next := placed{svc, req.Target, req.More}
	if err == nil {
		err = next.checkTargets()
	}
	if err != nil {
		return "", &refusedError{err}
	}
	if m.successor.Load() != nil {
		return "", errHandedOver
	}
	if err := m.admit(svc, req.Generation); err != nil {
		return "", err
	}
	wait, stop := context.WithTimeout(ctx, min(max(time.Duration(req.Timeout), time.Millisecond), time.Hour))
	defer stop()
	if err := m.checker.awaitAll(wait, next, on); err != nil {
		return "", err
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := m.admit(svc, req.Generation); err != nil { // time has passed
		return "", err
	}
	if err := m.change(ctx); err != nil {
		return "", err
	}
	defer m.mu.Unlock()
	if err := m.readyTLS(svc); err != nil {
		return "", err
	}
	s := m.get(svc.Name)
	maps.DeleteFunc(s.prepared, func(_ string, p *prepared) bool { return time.Now().After(p.expires) })
	for len(s.prepared) >= maxPrepared {
		delete(s.prepared, oldest(s.prepared))
	}
	token = newRequestID()
	s.prepared[token] = &prepared{next, req.Generation, time.Now().Add(m.ttl)}
	return token, nil
}

func oldest(all map[string]*prepared) (token string) {
	for t, p := range all {
		if token == "" || p.expires.Before(all[token].expires) {
			token = t
		}
	}
	return token
}

// committable is the prepared target, if it may be committed now.
func (m *manager) committable(name, token string, generation int64) (*prepared, error) {
	s := m.services[name]
	if s != nil && generation < s.record.Generation {
		return nil, &StaleError{name, generation, s.record.Generation}
	}
	if s == nil || s.prepared[token] == nil || time.Now().After(s.prepared[token].expires) {
		return nil, &refusedError{fmt.Errorf("service %.80s has no such prepared target: it may have expired, or the proxy was restarted", name)}
	}
	p := s.prepared[token]
	if generation != p.generation {
		return nil, &refusedError{fmt.Errorf("service %s: the target was prepared by run %d, not by %d", name, p.generation, generation)}
	}
	return p, m.conflict(p.Service)
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
