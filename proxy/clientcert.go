package proxy

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// MaxClientCA bounds the certificates that vouch for a service's clients, in bytes of PEM.
const MaxClientCA = 16 << 10

// What the app is told of a client with a certificate. Nobody else can set them.
const (
	headerSubject     = "X-Client-Cert-Subject"     // as RFC 4514 writes it; what is not printable ASCII is a backslash and two hex digits
	headerFingerprint = "X-Client-Cert-Fingerprint" // SHA-256 of the certificate, in hex

	maxSubject = 4 << 10
)

// CheckClientCA tells what is wrong with certificates (PEM) that are to vouch for clients.
func CheckClientCA(text string) error {
	_, err := parseClientCA(text)
	return err
}

// parseClientCA refuses all but certificates: a key in the same file would go where it must not.
func parseClientCA(text string) ([]*x509.Certificate, error) {
	if len(text) > MaxClientCA {
		return nil, fmt.Errorf("certificates that vouch for clients: more than %d bytes", MaxClientCA)
	}
	var all []*x509.Certificate
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("certificates that vouch for clients: there is something else among them")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificates that vouch for clients: %w", err)
		}
		if !c.IsCA {
			return nil, errors.New("certificates that vouch for clients: one may not sign others")
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("certificates that vouch for clients: there is none, in PEM")
	}
	return all, nil
}

// clientCAs parses what check has accepted; none: the service asks for no certificate.
func clientCAs(t *TLS) []*x509.Certificate {
	if t == nil || t.ClientCA == "" {
		return nil
	}
	all, err := parseClientCA(t.ClientCA)
	if err != nil {
		return nil
	}
	return all
}

// asksClients makes handshakes ask for a certificate where a service that the name may lead to wants one. Who has none is let
// in, to be told by an answer, and only if the request is for that service; one that nobody vouches for ends the handshake.
func (g *gate) asksClients(base *tls.Config) *tls.Config {
	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		all := g.routes.Load().vouchers(normalHost(hello.ServerName))
		if len(all) == 0 {
			return nil, nil
		}
		c := base.Clone()
		// A resumed session would have the chains of its first handshake, whatever vouches for clients now.
		c.GetConfigForClient, c.SessionTicketsDisabled = nil, true
		c.ClientAuth, c.ClientCAs = tls.VerifyClientCertIfGiven, x509.NewCertPool()
		for _, ca := range all {
			c.ClientCAs.AddCert(ca)
		}
		return c, nil
	}
	return base
}

// vouchers are the certificates of all services that requests for the host may reach. A client that names no host may mean any.
func (r routes) vouchers(host string) []*x509.Certificate {
	var all []*x509.Certificate
	add := func(services []*live) (last bool) {
		for _, s := range services {
			all = append(all, s.clients...)
			last = last || s.PathPrefix == "/" // all other requests are its own: see find
		}
		return last
	}
	if host == "" {
		for _, services := range r {
			add(services)
		}
		return all
	}
	_, rest, _ := strings.Cut(host, ".")
	for _, name := range [...]string{host, "*." + rest, ""} {
		if add(r[name]) {
			break
		}
	}
	return all
}

// certified tells whether the request's client has the certificate that the service wants, if it wants one; otherwise the
// request has been answered. Each request is looked at: a connection may be used for other hosts than that of its handshake.
func (s *live) certified(w http.ResponseWriter, r *http.Request, x *exchange) bool {
	x.client = nil
	if s.TLS == nil || s.TLS.ClientCA == "" {
		return true
	}
	if r.TLS == nil {
		writePage(w, r, http.StatusForbidden, "This is open by https alone.", 0)
		return false
	}
	if name := normalHost(r.TLS.ServerName); name != x.host && (name != "" || !isAddress(x.host)) {
		writePage(w, r, http.StatusMisdirectedRequest, "This needs a connection of its own.", 0) // browsers make one, with a certificate
		return false
	}
	now := time.Now()
	for _, chain := range r.TLS.VerifiedChains {
		if s.vouchesFor(chain, now) && len(subject(chain[0])) <= maxSubject {
			x.client = chain[0]
			return true
		}
	}
	writePage(w, r, http.StatusForbidden, "A certificate of the client is needed here.", 0)
	return false
}

// vouchesFor is asked of chains that a handshake has found good, against the services that there were then.
func (s *live) vouchesFor(chain []*x509.Certificate, now time.Time) bool {
	if len(chain) == 0 || slices.ContainsFunc(chain, func(c *x509.Certificate) bool { return now.After(c.NotAfter) }) {
		return false
	}
	root := chain[len(chain)-1]
	return slices.ContainsFunc(s.clients, func(ca *x509.Certificate) bool { return bytes.Equal(ca.Raw, root.Raw) })
}

// introduce tells the target who the client is, if that is known.
func (x *exchange) introduce(h http.Header) {
	if x.client == nil {
		return
	}
	sum := sha256.Sum256(x.client.Raw)
	h[headerSubject] = []string{subject(x.client)}
	h[headerFingerprint] = []string{hex.EncodeToString(sum[:])}
}

// subject is the name in the certificate, in its own order, fit for a header.
func subject(c *x509.Certificate) string {
	text := c.Subject.String()
	var names pkix.RDNSequence
	if rest, err := asn1.Unmarshal(c.RawSubject, &names); err == nil && len(rest) == 0 {
		text = names.String()
	}
	var b strings.Builder
	for i := range len(text) {
		if ch := text[i]; ch < ' ' || ch > '~' {
			fmt.Fprintf(&b, `\%02X`, ch)
		} else {
			b.WriteByte(ch)
		}
	}
	return b.String()
}
