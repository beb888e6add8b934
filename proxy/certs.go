package proxy

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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
	pairs map[string]*loaded // by service
	wrong map[string]error   // services whose pair cannot be read
}

// holds says whether the service has a certificate that it can serve with, and why not.
func (c *certStore) holds(s Service) error {
	if s.TLS == nil || c.pairs[s.Name] != nil {
		return nil
	}
	if err := c.wrong[s.Name]; err != nil {
		return fmt.Errorf("service %s: its certificate cannot be read: %w", s.Name, err)
	}
	return fmt.Errorf("service %s has no certificate", s.Name)
}

// of tells of a service's certificate; nil if it serves no TLS.
func (c *certStore) of(s Service) *Certificate {
	switch p := c.pairs[s.Name]; {
	case s.TLS == nil:
		return nil
	case p != nil:
		told := p.told
		return &told
	}
	return &Certificate{Error: printable(c.holds(s).Error(), 200)}
}

// snapshot is for handshakes.
func (c *certStore) snapshot(services []*live) certificates {
	out := certificates{}
	for _, s := range services {
		p := c.pairs[s.Name]
		if s.TLS == nil || p == nil {
			continue
		}
		for _, h := range s.Hosts {
			// Several services may share a host by their paths. One whose own certificate is not for the name must not
			// shut out one whose certificate is.
			if before := out[h]; before == nil || p.told.covers(h) {
				out[h] = &p.cert
			}
		}
		if len(s.Hosts) == 0 {
			out[""] = &p.cert
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
	if err := m.store.savePair(name, *pair); err != nil {
		return Certificate{}, err
	}
	m.certs.pairs[name] = p
	delete(m.certs.wrong, name)
	m.publish()
	return p.told, nil
}

const pairSuffix = ".pair" // of a service's file in the state folder: a KeyPair as JSON, mode 0600

func (s store) savePair(name string, p KeyPair) error {
	b, err := json.Marshal(p)
	if err == nil {
		err = replace(filepath.Join(s.dir, name+pairSuffix), b)
	}
	if err != nil {
		return fmt.Errorf("save certificate: %w", err)
	}
	return s.syncDir()
}

// loadPairs reads all certificates. One that cannot be read is only its own service's trouble.
func (s store) loadPairs() (certStore, error) {
	c := certStore{pairs: map[string]*loaded{}, wrong: map[string]error{}}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return c, fmt.Errorf("read certificates: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), pairSuffix)
		if !ok {
			continue
		}
		if p, err := s.loadPair(name); err != nil {
			c.wrong[name] = err
		} else {
			c.pairs[name] = p
		}
	}
	return c, nil
}

func (s store) loadPair(name string) (*loaded, error) {
	p, err := s.readPair(name)
	if err != nil {
		return nil, err
	}
	return p.load()
}

func (s store) readPair(name string) (*KeyPair, error) {
	f, err := os.Open(filepath.Join(s.dir, name+pairSuffix))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var p KeyPair
	if err := json.NewDecoder(io.LimitReader(f, 2*MaxPair)).Decode(&p); err != nil {
		return nil, errors.New("it is damaged") // the error itself might quote the key
	}
	return &p, nil
}

// dropPair forgets the certificate of a service that was removed.
func (m *manager) dropPair(name string) {
	delete(m.certs.pairs, name)
	delete(m.certs.wrong, name)
	if err := os.Remove(filepath.Join(m.store.dir, name+pairSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.log.Warn("the certificate of a removed service stays on the disk", "service", name, "error", err)
	}
}
