package proxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"ship/proxy/acme"
)

// enrolled is a service that gets its certificates by itself. Guarded by the manager's lock, but for busy.
type enrolled struct {
	acme.Enrolment
	digest   string
	busy     chan struct{} // has room for who orders: one at a time
	failures int           // in a row
	next     time.Time     // not before then
	err      error         // of the last try
}

// ACMEStatus is how a service's automatic certificate is doing.
type ACMEStatus struct {
	Digest string    `json:"digest"`          // of the enrolment: [acme.Enrolment.Digest]
	Next   time.Time `json:"next,omitzero"`   // when the proxy orders again, or renews
	Error  string    `json:"error,omitempty"` // why the last order failed; "" = it did not
}

func (s *ACMEStatus) clean() *ACMEStatus {
	if s == nil {
		return nil
	}
	return &ACMEStatus{printable(s.Digest, maxName), s.Next, printable(s.Error, 300)}
}

// enrol has the proxy get certificates for a service from now on. It may come before the service does: challenges are
// answered at once.
func (m *manager) enrol(ctx context.Context, name string, e *acme.Enrolment, generation int64) error {
	if err := checkName(name); err != nil {
		return &refusedError{err}
	}
	if e == nil {
		return &refusedError{errors.New("no enrolment")}
	}
	one, err := newEnrolled(*e)
	if err != nil {
		return &refusedError{fmt.Errorf("service %s: %w", name, err)}
	}
	if err := m.change(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if s := m.services[name]; s != nil && generation < s.record.Generation {
		return &StaleError{name, generation, s.record.Generation}
	}
	if err := m.store.saveEnrolment(name, *e); err != nil {
		return err
	}
	m.enrolled[name] = one
	m.publish()
	return nil
}

func newEnrolled(e acme.Enrolment) (*enrolled, error) {
	if err := e.Check(); err != nil {
		return nil, err
	}
	for i, h := range e.Hosts {
		if e.Hosts[i] = normalHost(h); e.Hosts[i] == "" {
			return nil, fmt.Errorf("host %.80q is no host name", h)
		}
	}
	return &enrolled{Enrolment: e, digest: e.Digest(), busy: make(chan struct{}, 1)}, nil
}

// account tells the enrolment that there is, so that other hosts get the same account; nil: none.
func (m *manager) account(name string) *acme.Enrolment {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.enrolled[name]; e != nil {
		return &e.Enrolment
	}
	return nil
}

// pair tells the certificate with its key, so that other hosts need not order one; nil: none.
func (m *manager) pair(name string) (*KeyPair, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.enrolled[name] == nil { // one's own is nobody's to fetch from here
		return nil, &refusedError{fmt.Errorf("service %s has no certificate of an authority", name)}
	}
	p, err := m.store.readPair(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return p, err
}

func (m *manager) enrolmentOf(name string) *enrolled {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.enrolled[name]
}

const obtainMax = 3 * time.Minute // for an order with all its challenges

// obtain orders a certificate and serves with it at once.
func (m *manager) obtain(ctx context.Context, name string) (Certificate, error) {
	if m.successor.Load() != nil {
		return Certificate{}, errHandedOver
	}
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
	var pair KeyPair
	var err error
	pair.Certificate, pair.PrivateKey, err = acme.Order(limited, e.Enrolment)
	if err != nil {
		m.obtained(name, e, err)
		return Certificate{}, &refusedError{fmt.Errorf("certificate of service %s: %w", name, err)}
	}
	told, err := m.serveBy(ctx, name, e, pair)
	m.obtained(name, e, err)
	return told, err
}

// serveBy keeps a new pair, unless the service was enrolled anew meanwhile.
func (m *manager) serveBy(ctx context.Context, name string, e *enrolled, pair KeyPair) (Certificate, error) {
	p, err := pair.load()
	if err != nil {
		return Certificate{}, fmt.Errorf("certificate of service %s: %w", name, err)
	}
	if err := m.change(ctx); err != nil {
		return Certificate{}, err
	}
	defer m.mu.Unlock()
	if m.enrolled[name] != e {
		return Certificate{}, &refusedError{fmt.Errorf("service %s was enrolled anew meanwhile", name)}
	}
	if err := m.store.savePair(name, pair); err != nil {
		return Certificate{}, err
	}
	m.certs.pairs[name] = p
	delete(m.certs.wrong, name)
	m.publish()
	return p.told, nil
}

// obtained notes how an order went.
func (m *manager) obtained(name string, e *enrolled, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.err = err
	if err == nil {
		e.failures, e.next = 0, time.Time{}
		m.log.Info("a certificate was issued", "service", name)
		return
	}
	var refused *acme.RefusedError
	asked := time.Duration(0)
	if errors.As(err, &refused) {
		asked = refused.After
	}
	e.failures++
	e.next = time.Now().Add(acme.Pause(e.failures, asked))
	m.log.Error("no certificate was issued", "service", name, "error", printable(err.Error(), 500), "again", e.next)
}

const renewEvery = 15 * time.Second // see Options.RenewEvery

// renew gets the certificates that are due, until ctx ends or a successor has taken over.
func (m *manager) renew(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
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
		for _, name := range m.due(time.Now()) {
			_, _ = m.obtain(ctx, name) // logged, and shown by status
		}
	}
}

// due are the services that need a certificate now.
func (m *manager) due(now time.Time) (names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, e := range m.enrolled {
		s := m.services[name]
		if s == nil || s.live == nil || s.live.TLS == nil || !s.live.TLS.Auto { // not yet, or no longer
			continue
		}
		if at := m.nextOrder(name, e); !now.Before(at) {
			names = append(names, name)
		}
	}
	return names
}

// nextOrder is when a service needs a certificate; the lock is held.
func (m *manager) nextOrder(name string, e *enrolled) time.Time {
	at := e.next
	if p := m.certs.pairs[name]; p != nil && p.told.coversAll(e.Hosts) {
		host, _ := os.Hostname() // unknown: then all of these renew at once
		if due := acme.Renewal(p.told.NotBefore, p.told.NotAfter, host); due.After(at) {
			at = due
		}
	}
	return at
}

func (c Certificate) coversAll(hosts []string) bool {
	for _, h := range hosts {
		if !c.covers(h) {
			return false
		}
	}
	return true
}

// acmeStatus tells of a service's enrolment; nil: there is none. The lock is held.
func (m *manager) acmeStatus(s Service) *ACMEStatus {
	e := m.enrolled[s.Name]
	if e == nil || s.TLS == nil || !s.TLS.Auto {
		return nil
	}
	st := &ACMEStatus{Digest: e.digest, Next: m.nextOrder(s.Name, e)}
	if e.err != nil {
		st.Error = printable(e.err.Error(), 300)
	}
	return st
}
