package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"
)

// certificates are what handshakes choose from: an immutable snapshot by host name. "" stands for every host.
type certificates map[string]*tls.Certificate

// find follows routes.find. A client that names no host gets the certificate there is, if there is only one.
func (c certificates) find(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host := normalHost(hello.ServerName)
	_, rest, _ := strings.Cut(host, ".")
	for _, name := range [...]string{host, "*." + rest, ""} {
		if cert := c[name]; cert != nil {
			return cert, nil
		}
	}
	if hello.ServerName == "" {
		var only *tls.Certificate
		for _, cert := range c {
			if only != nil && only != cert {
				return nil, errNoCertificate
			}
			only = cert
		}
		if only != nil {
			return only, nil
		}
	}
	return nil, errNoCertificate
}

// serves tells whether there is a certificate that is for the host, and has not expired.
func (c certificates) serves(host string) bool {
	cert, err := c.find(&tls.ClientHelloInfo{ServerName: host})
	return err == nil && cert.Leaf != nil && time.Now().Before(cert.Leaf.NotAfter) && cert.Leaf.VerifyHostname(host) == nil
}

var errNoCertificate = errors.New("no certificate for this name")

// certStore is what manager keeps of certificates. Guarded by the manager's lock.
type certStore struct {
	pairs  map[string]*loaded // by service: the newest
	former map[string]*loaded // one before it; see keepFormer
	wrong  map[string]error   // services whose pair cannot be read
}

// best is the newest certificate of a service that is for all the hosts, else the newest; nil: it has none.
func (c *certStore) best(name string, hosts ...string) *loaded {
	p, f := c.pairs[name], c.former[name]
	if f != nil && (p == nil || !p.told.coversAll(hosts) && f.told.coversAll(hosts)) {
		return f
	}
	return p
}

// covering is best, or nil if that is not for all the hosts.
func (c *certStore) covering(name string, hosts []string) *loaded {
	if p := c.best(name, hosts...); p != nil && p.told.coversAll(hosts) {
		return p
	}
	return nil
}

// holds says whether the service has a certificate that it can serve with, and why not.
func (c *certStore) holds(s Service) error {
	if s.TLS == nil || c.best(s.Name) != nil {
		return nil
	}
	if err := c.wrong[s.Name]; err != nil {
		return fmt.Errorf("service %s: its certificate cannot be read: %w", s.Name, err)
	}
	return fmt.Errorf("service %s has no certificate", s.Name)
}

// of tells of a service's certificate at a time; nil if it serves no TLS.
func (c *certStore) of(s Service, now time.Time) *Certificate {
	if s.TLS == nil {
		return nil
	}
	p := c.best(s.Name, s.Hosts...)
	if p == nil {
		return &Certificate{Error: printable(c.holds(s).Error(), 200)}
	}
	told := p.told
	if err := told.Check(nil, now); err != nil {
		told.Error = err.Error()
	}
	return &told
}

// snapshot is for handshakes.
func (c *certStore) snapshot(services []*live) certificates {
	out := certificates{}
	for _, s := range services {
		if s.TLS == nil || c.best(s.Name) == nil {
			continue
		}
		for _, h := range s.Hosts {
			p := c.best(s.Name, h)
			// Several services may share a host by their paths. One whose own certificate is not for the name must not
			// shut out one whose certificate is.
			if before := out[h]; before == nil || p.told.covers(h) {
				out[h] = &p.cert
			}
		}
		if len(s.Hosts) == 0 {
			out[""] = &c.best(s.Name).cert
		}
	}
	return out
}

// certify takes a certificate into service at once, without a restart: connections that are open keep theirs. It may come
// before its service does.
func (m *manager) certify(ctx context.Context, name string, pair *KeyPair, generation int64) (Certificate, error) {
	if err := checkName(name); err != nil {
		return Certificate{}, &refusedError{err}
	}
	if pair == nil {
		return Certificate{}, &refusedError{errors.New("no certificate")}
	}
	p, err := pair.load()
	if err != nil {
		return Certificate{}, &refusedError{fmt.Errorf("certificate of service %s: %w", name, err)}
	}
	if err := m.change(ctx); err != nil {
		return Certificate{}, err
	}
	defer m.mu.Unlock()
	if s := m.services[name]; s != nil && generation < s.record.Generation {
		return Certificate{}, &StaleError{name, generation, s.record.Generation}
	}
	if err := m.keepPair(name, *pair, p); err != nil {
		return Certificate{}, err
	}
	return p.told, nil
}

// keepPair serves with a pair from now on; the lock is held.
func (m *manager) keepPair(name string, pair KeyPair, p *loaded) error {
	m.keepFormer(name, p)
	if err := m.store.savePair(name, pairSuffix, pair); err != nil {
		return err
	}
	m.certs.pairs[name] = p
	delete(m.certs.wrong, name)
	m.publish()
	return nil
}

// keepFormer keeps the pair that next takes the place of, or the one before, while it is for names that next is not for:
// those of the release that serves until the cutover, or of the one that an undo goes back to. It does not keep next back:
// what cannot be written is missed after a restart only.
func (m *manager) keepFormer(name string, next *loaded) {
	var keep *loaded
	for _, hosts := range m.hostsOf(name) {
		if next.told.coversAll(hosts) {
			continue
		}
		if keep = m.certs.covering(name, hosts); keep != nil {
			break
		}
	}
	var err error
	switch {
	case keep == nil:
		delete(m.certs.former, name)
		err = m.store.drop(name, formerSuffix)
	case keep != m.certs.former[name]:
		m.certs.former[name] = keep
		var pair *KeyPair
		if pair, err = m.store.readPair(name, pairSuffix); err == nil {
			err = m.store.savePair(name, formerSuffix, *pair)
		}
	}
	if err != nil {
		m.log.Warn("the certificate before this one", "service", name, "error", err)
	}
}

// hostsOf are the names that a service is reached by, and those that an undo would bring back.
func (m *manager) hostsOf(name string) (all [][]string) {
	s := m.services[name]
	if s == nil {
		return nil
	}
	for _, p := range []*placed{s.record.Active, s.record.Previous} {
		if p != nil {
			all = append(all, p.Service.Hosts)
		}
	}
	return all
}
