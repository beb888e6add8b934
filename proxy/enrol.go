package proxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"ship/proxy/acme"
)

// enrolled is a service that gets its certificates by itself. Guarded by the manager's lock, but for busy.
type enrolled struct {
	enrolmentFile
	digest string
	busy   chan struct{}      // has room for who orders: one at a time
	stop   context.CancelFunc // of the last order; nil: there was none
	err    error              // of it
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
	one, err := newEnrolled(enrolmentFile{Enrolment: *e, Next: time.Now().Add(acme.FirstTry(m.renewEvery, hostname()))})
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
	if before := m.enrolled[name]; before != nil && before.digest == one.digest && before.Key == one.Key {
		return nil // how long it has to wait stays
	}
	if err := m.store.saveEnrolment(name, one.enrolmentFile); err != nil {
		return err
	}
	m.enrolled[name] = one
	m.publish()
	return nil
}

func newEnrolled(e enrolmentFile) (*enrolled, error) {
	if err := e.Check(); err != nil {
		return nil, err
	}
	for i, h := range e.Hosts {
		if e.Hosts[i] = normalHost(h); e.Hosts[i] == "" {
			return nil, fmt.Errorf("host %.80q is no host name", h)
		}
	}
	now := time.Now()
	if latest := now.Add(acme.MaxPause); e.Next.After(latest) { // the clock was wrong
		e.Next = latest
	}
	if e.Issued.After(now) {
		e.Issued = now
	}
	return &enrolled{enrolmentFile: e, digest: e.Digest(), busy: make(chan struct{}, 1)}, nil
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
	e := m.enrolled[name]
	if e == nil { // one's own is nobody's to fetch from here
		return nil, &refusedError{fmt.Errorf("service %s has no certificate of an authority", name)}
	}
	suffix := pairSuffix
	if best := m.certs.best(name, e.Hosts...); best != nil && best == m.certs.former[name] {
		suffix = formerSuffix
	}
	p, err := m.store.readPair(name, suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return p, err
}

// acmeStatus tells of a service's enrolment; nil: there is none. The lock is held.
func (m *manager) acmeStatus(s Service) *ACMEStatus {
	e := m.enrolled[s.Name]
	if e == nil || s.TLS == nil || !s.TLS.Auto {
		return nil
	}
	st := &ACMEStatus{Digest: e.digest, Next: m.nextOrder(e, s)}
	if e.err != nil {
		st.Error = printable(e.err.Error(), 300)
	}
	return st
}
