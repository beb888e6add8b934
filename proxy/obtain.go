package proxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"ship/proxy/acme"
)

const obtainMax = 3 * time.Minute // for an order with all its challenges

// obtain orders a certificate and serves with it at once. It is for the hosts of the enrolment: a deploy asks for what it is
// about to bring.
func (m *manager) obtain(ctx context.Context, name string) (Certificate, error) {
	return m.obtainFor(ctx, name, func(e *enrolled) []string { return e.Hosts })
}

// obtainFor orders for the hosts that are called for when no other order of the service is under way; none: it does nothing.
func (m *manager) obtainFor(ctx context.Context, name string, hosts func(*enrolled) []string) (Certificate, error) {
	e := m.enrolmentOf(name)
	if e == nil {
		return Certificate{}, &refusedError{fmt.Errorf("service %s is not enrolled with an authority", name)}
	}
	select {
	case e.busy <- struct{}{}:
		defer func() { <-e.busy }()
	case <-ctx.Done():
		return Certificate{}, ctx.Err()
	}
	limited, stop := context.WithTimeout(ctx, obtainMax)
	defer stop()
	if err := m.ordering(e, stop); err != nil {
		return Certificate{}, err
	}
	asks := e.Enrolment
	if asks.Hosts = hosts(e); len(asks.Hosts) == 0 {
		return Certificate{}, nil
	}
	told, err := m.order(limited, name, e, asks)
	switch {
	case m.successor.Load() != nil:
		return Certificate{}, errHandedOver
	case err != nil && ctx.Err() != nil: // that is no word of the authority
		return Certificate{}, ctx.Err()
	}
	m.obtained(name, e, err)
	return told, err
}

func (m *manager) enrolmentOf(name string) *enrolled {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.enrolled[name]
}

// ordering notes that an order begins. It ends with stop when a successor takes over, who orders for itself.
func (m *manager) ordering(e *enrolled, stop context.CancelFunc) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.successor.Load() != nil {
		return errHandedOver
	}
	e.stop = stop
	return nil
}

// stopOrders ends those that are under way; the lock is held.
func (m *manager) stopOrders() {
	for _, e := range m.enrolled {
		if e.stop != nil {
			e.stop()
		}
	}
}

func (m *manager) order(ctx context.Context, name string, e *enrolled, asks acme.Enrolment) (Certificate, error) {
	var pair KeyPair
	err := asks.Check()
	if err == nil {
		pair.Certificate, pair.PrivateKey, err = acme.Order(ctx, asks)
	}
	if err != nil {
		return Certificate{}, &refusedError{fmt.Errorf("certificate of service %s: %w", name, err)}
	}
	p, err := pair.load()
	if err == nil && !p.told.coversAll(asks.Hosts) {
		err = fmt.Errorf("what the authority issued is not for all of %s", strings.Join(asks.Hosts, ", "))
	}
	if err != nil {
		return Certificate{}, &refusedError{fmt.Errorf("certificate of service %s: %w", name, err)}
	}
	if err := m.change(ctx); err != nil {
		return Certificate{}, err
	}
	defer m.mu.Unlock()
	if m.enrolled[name] != e {
		return Certificate{}, &refusedError{fmt.Errorf("service %s was enrolled anew meanwhile", name)}
	}
	return p.told, m.keepPair(name, pair, p)
}

// obtained notes how an order went, and when the next one may be.
func (m *manager) obtained(name string, e *enrolled, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.err = err; err == nil {
		e.Failures, e.Next, e.Issued = 0, time.Time{}, time.Now()
		m.log.Info("a certificate was issued", "service", name)
	} else {
		var refused *acme.RefusedError
		asked := time.Duration(0)
		if errors.As(err, &refused) {
			asked = refused.After
		}
		e.Failures++
		e.Next = time.Now().Add(acme.Pause(e.Failures, asked))
		m.log.Error("no certificate was issued", "service", name, "error", printable(err.Error(), 500), "again", e.Next)
	}
	if m.enrolled[name] != e || m.frozen != nil || m.successor.Load() != nil { // the file is another's
		return
	}
	if err := m.store.saveEnrolment(name, e.enrolmentFile); err != nil {
		m.log.Warn("a restart will forget when to ask the authority again", "service", name, "error", err)
	}
}

const renewEvery = 15 * time.Second // see Options.RenewEvery

// renew gets the certificates that are due, until ctx ends or a successor has taken over.
func (m *manager) renew(ctx context.Context) {
	tick := time.NewTicker(m.renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if m.successor.Load() != nil {
			return
		}
		for _, name := range m.names() {
			_, _ = m.obtainFor(ctx, name, func(e *enrolled) []string { return m.due(e, name, time.Now()) }) // logged, and shown by status
		}
	}
}

// names are those of the enrolled services.
func (m *manager) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.enrolled))
}

// due are the hosts that a service needs a certificate for now: those of what serves, which after a rollback or before a
// cutover need not be the enrolment's; none: it needs none.
func (m *manager) due(e *enrolled, name string, now time.Time) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.services[name]
	if !s.automatic() || now.Before(m.nextOrder(e, s.live.Service)) {
		return nil
	}
	return s.live.Hosts
}

// automatic tells whether what serves now gets its certificates by itself.
func (s *service) automatic() bool {
	return s != nil && s.live != nil && s.live.TLS != nil && s.live.TLS.Auto
}

// nextOrder is when a service needs a certificate; the lock is held.
func (m *manager) nextOrder(e *enrolled, s Service) time.Time {
	at := e.Next
	if p := m.certs.covering(s.Name, s.Hosts); p != nil {
		for _, due := range []time.Time{acme.Renewal(p.told.NotBefore, p.told.NotAfter, hostname()), e.Issued.Add(acme.Rest(p.told.NotBefore, p.told.NotAfter))} {
			if due.After(at) {
				at = due
			}
		}
	}
	return at
}

// hostname tells this host from others, so that not all ask an authority at once; unknown: then they do.
func hostname() string {
	name, _ := os.Hostname()
	return name
}
