package proxy

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// MaxPair bounds a certificate with its chain and its key, in bytes of PEM.
const MaxPair = 128 << 10

// KeyPair is a certificate with its chain and its private key, both as PEM. It prints as [redacted], in every format.
type KeyPair struct {
	Certificate string `json:"certificate"`
	PrivateKey  string `json:"private_key"`
}

// Format is for all verbs of package fmt.
func (KeyPair) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") } // a State has nowhere to report to

// Certificate is what may be told of one.
type Certificate struct {
	Names       []string  `json:"names,omitempty"` // that it is for; patterns and addresses included
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Fingerprint string    `json:"fingerprint,omitempty"` // SHA-256 of the chain, in hex
	Error       string    `json:"error,omitempty"`       // why it is not served; "" = it is
}

// Inspect reads the pair. It is an error if certificate and key do not belong together.
func (p KeyPair) Inspect() (Certificate, error) {
	c, err := p.load()
	if err != nil {
		return Certificate{}, err
	}
	return c.told, nil
}

// Check tells why a certificate cannot serve the hosts at this time. Without hosts every name is served: then any will do.
func (c Certificate) Check(hosts []string, now time.Time) error {
	const day = "2006-01-02"
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("the certificate has expired on %s", c.NotAfter.Format(day))
	case now.Before(c.NotBefore):
		return fmt.Errorf("the certificate is not valid before %s", c.NotBefore.Format(day))
	}
	for _, h := range hosts {
		if !c.covers(normalHost(h)) {
			return fmt.Errorf("the certificate is not for %.80q; it is for %.200s", h, printable(strings.Join(c.Names, ", "), 200))
		}
	}
	return nil
}

// covers follows RFC 6125: a pattern stands for one label, and a wildcard host needs the same pattern.
func (c Certificate) covers(host string) bool {
	_, below, _ := strings.Cut(host, ".")
	return slices.Contains(c.Names, host) || slices.Contains(c.Names, "*."+below) && !isAddress(host)
}

func (c Certificate) coversAll(hosts []string) bool {
	for _, h := range hosts {
		if !c.covers(h) {
			return false
		}
	}
	return true
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// loaded is a pair that is ready to serve.
type loaded struct {
	cert tls.Certificate
	told Certificate
}

// load never quotes the key in an error.
func (p KeyPair) load() (*loaded, error) {
	if len(p.Certificate)+len(p.PrivateKey) > MaxPair {
		return nil, fmt.Errorf("certificate and key have %d bytes, at most %d are allowed", len(p.Certificate)+len(p.PrivateKey), MaxPair)
	}
	cert, err := tls.X509KeyPair([]byte(p.Certificate), []byte(p.PrivateKey))
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "tls: "))
	}
	leaf := cert.Leaf
	if leaf == nil { // with an old x509keypairleaf setting
		if leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, fmt.Errorf("read the certificate: %w", err)
		}
		cert.Leaf = leaf
	}
	h := sha256.New()
	for _, der := range cert.Certificate {
		_, _ = h.Write(der) // never fails
	}
	told := Certificate{NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, Fingerprint: hex.EncodeToString(h.Sum(nil))}
	for _, name := range leaf.DNSNames {
		told.Names = append(told.Names, strings.ToLower(name))
	}
	for _, ip := range leaf.IPAddresses {
		told.Names = append(told.Names, ip.String())
	}
	return &loaded{cert, told}, nil
}

// clean makes what a host says fit for a terminal.
func (c Certificate) clean() Certificate {
	c.Names = slices.Clone(c.Names[:min(len(c.Names), maxHosts)])
	for i, n := range c.Names {
		c.Names[i] = printable(n, 253)
	}
	c.Fingerprint, c.Error = printable(c.Fingerprint, maxName), printable(c.Error, 200)
	return c
}
