// Package acme gets certificates from a certificate authority that speaks ACME (RFC 8555), by http-01 challenges.
//
// All hosts of a service share one account: what a challenge is answered with is made of its token and the account's key
// alone, so whichever host the authority asks can answer, and the hosts need not know of each other.
package acme

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"net/netip"
	"net/url"
	"strings"
	"time"

	client "golang.org/x/crypto/acme"
)

// Enrolment is a service's account at an authority, and what it asks certificates for. It prints as [redacted], in every format.
type Enrolment struct {
	Hosts     []string `json:"hosts"`               // that the certificate is for; no patterns
	Directory string   `json:"directory,omitempty"` // URL of the authority; "" = Let's Encrypt
	Roots     string   `json:"roots,omitempty"`     // PEM: who vouches for the directory's own https; "" = the system's
	Email     string   `json:"email,omitempty"`     // whom the authority may write to; "" = nobody
	KeyID     string   `json:"key_id,omitempty"`    // of the external account that the authority asks for; "" = none
	HMAC      string   `json:"hmac,omitempty"`      // its key, base64url
	Key       string   `json:"key"`                 // PEM: the account's private key
}

// Format is for all verbs of package fmt.
func (Enrolment) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") } // a State has nowhere to report to

const (
	maxHosts = 100 // of a certificate, as Let's Encrypt has it
	maxText  = 64 << 10
)

// Check tells what is wrong with it.
func (e Enrolment) Check() error {
	if len(e.Hosts) == 0 || len(e.Hosts) > maxHosts {
		return fmt.Errorf("%d hosts, a certificate has 1 to %d", len(e.Hosts), maxHosts)
	}
	for _, h := range e.Hosts {
		if err := CheckHost(h); err != nil {
			return err
		}
	}
	if err := CheckDirectory(e.Directory); err != nil {
		return err
	}
	if len(e.Roots) > maxText || e.Roots != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(e.Roots)) {
		return errors.New("the roots for the directory are no certificates in PEM")
	}
	if e.Email != "" {
		if a, err := mail.ParseAddress(e.Email); err != nil || a.Address != e.Email || len(e.Email) > 254 {
			return fmt.Errorf("%.80q is no address for mail", e.Email)
		}
	}
	if (e.KeyID == "") != (e.HMAC == "") || len(e.KeyID)+len(e.HMAC) > maxText {
		return errors.New("an external account has a key ID and a key")
	}
	if _, err := e.hmac(); err != nil {
		return err
	}
	_, err := e.key()
	return err
}

// CheckHost tells why no certificate can be had for a host.
func CheckHost(host string) error {
	if strings.HasPrefix(host, "*.") {
		return fmt.Errorf("%.80q: certificates for patterns need a challenge by DNS, which is not spoken here", host)
	}
	if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") || len(host) > 253 || strings.ContainsAny(host, "*:/ ") {
		return fmt.Errorf("%.80q is no name that a certificate can be had for", host)
	}
	return nil
}

// CheckDirectory tells what is wrong with an authority's URL.
func CheckDirectory(directory string) error {
	if directory == "" {
		return nil
	}
	if u, err := url.Parse(directory); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || len(directory) > 2048 {
		return fmt.Errorf("directory %.80q: want an https URL", directory)
	}
	return nil
}

// hmac takes the key with padding and without: authorities write it both ways.
func (e Enrolment) hmac() ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(e.HMAC, "="))
	if err != nil {
		return nil, errors.New("the external account's key is no base64url") // the error itself would quote it
	}
	return b, nil
}

func (e Enrolment) key() (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(e.Key))
	if block == nil {
		return nil, errors.New("the account's key is no PEM")
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the account's key cannot be read")
	}
	ec, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the account's key is not for ECDSA")
	}
	return ec, nil
}

// NewKey makes a private key, as PEM.
func NewKey() (string, error) {
	_, text, err := newKey()
	return text, err
}

func newKey() (*ecdsa.PrivateKey, string, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, "", fmt.Errorf("make a key: %w", err)
	}
	return k, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// Thumbprint is what every answer to a challenge ends with (RFC 8555, 8.1).
func (e Enrolment) Thumbprint() (string, error) {
	k, err := e.key()
	if err != nil {
		return "", err
	}
	return client.JWKThumbprint(k.Public())
}

// Vouched tells why a chain in PEM is nothing that the public would trust for the hosts. Of a directory of one's own nobody
// knows here who signs; its chains pass.
func (e Enrolment) Vouched(chain string, now time.Time) error {
	if e.Directory != "" {
		return nil
	}
	var certs []*x509.Certificate
	for rest := []byte(chain); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("read the certificate: %w", err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return errors.New("no certificate")
	}
	opts := x509.VerifyOptions{Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, c := range certs[1:] {
		opts.Intermediates.AddCert(c)
	}
	for _, opts.DNSName = range e.Hosts {
		if _, err := certs[0].Verify(opts); err != nil {
			return err
		}
	}
	return nil
}

// Digest tells one enrolment from another, whatever the account's key and the case of the names.
func (e Enrolment) Digest() string {
	var hosts []string
	for _, h := range e.Hosts {
		hosts = append(hosts, strings.TrimSuffix(strings.ToLower(h), "."))
	}
	b, err := json.Marshal(struct { // not Enrolment itself: its order of fields is no contract
		Hosts                                []string
		Directory, Roots, Email, KeyID, HMAC string
	}{hosts, e.Directory, e.Roots, e.Email, e.KeyID, e.HMAC})
	if err != nil { // plain values only: cannot happen
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
