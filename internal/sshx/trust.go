package sshx

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"ship/internal/plain"
)

// trust decides whether the key that a hop shows is that hop's. It serves one handshake.
type trust struct {
	host  string   // as written
	names []string // host:port as known_hosts has it, the more exact one first
	pin   ssh.PublicKey
	known *knownFiles
	lax   string

	refused *HostKeyError // set by check: x/crypto wraps it in words of its own
}

func newTrust(s settings) (*trust, error) {
	t := &trust{host: s.written, lax: s.lax}
	if s.pin != "" {
		pin, err := parsePin(s.pin)
		if err != nil {
			return nil, fmt.Errorf("host key given for %s: %w", s.written, err)
		}
		t.pin = pin
	}
	t.names = knownNames(s)
	if t.pin != nil {
		return t, nil
	}
	var err error
	t.known, err = readKnown(s.knownHosts, s.required)
	return t, err
}

// knownNames are the names under which known_hosts may have a hop. Like ssh, a line without a port admits a key on any
// port, but only if it is that very key.
func knownNames(s settings) []string {
	standard := strconv.Itoa(defaultPort)
	if s.keyAlias != "" {
		return []string{net.JoinHostPort(strings.ToLower(s.keyAlias), standard)}
	}
	host := strings.ToLower(s.host)
	names := []string{net.JoinHostPort(host, strconv.Itoa(s.port))}
	if s.port != defaultPort {
		names = append(names, net.JoinHostPort(host, standard))
	}
	return names
}

// parsePin reads a key as authorized_keys has it: type and base64, perhaps a comment.
func parsePin(text string) (ssh.PublicKey, error) {
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(strings.TrimSpace(text)))
	if err != nil || len(options) > 0 || len(rest) > 0 {
		return nil, fmt.Errorf("not a public key, which looks like `ssh-ed25519 AAAA...`: %q", plain.Text(text, 60))
	}
	return key, nil
}

// algorithms are the host key algorithms to ask for: those of the keys we know first, so that a host with several keys
// shows one that we can check; then the others, so that a host which has none of them is told from a stranger. Weak ones
// (SHA-1, DSA) are never among them, certificates only where their authority is known.
func (t *trust) algorithms() []string {
	strong := ssh.SupportedAlgorithms().HostKeys
	var list []string
	add := func(algorithms ...string) {
		for _, a := range algorithms {
			if slices.Contains(strong, a) && !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
	}
	if t.pin != nil {
		if t.pin.Type() == ssh.KeyAlgoRSA {
			add(ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		}
		add(t.pin.Type())
	} else {
		for _, name := range t.names {
			add(t.known.db.HostKeyAlgorithms(name)...)
		}
	}
	for _, a := range strong {
		if !strings.Contains(a, "-cert-v01") {
			add(a)
		}
	}
	return list
}

// check is the ssh.HostKeyCallback.
func (t *trust) check(_ string, _ net.Addr, key ssh.PublicKey) error {
	t.refused = t.judge(key)
	if t.refused != nil {
		return t.refused
	}
	return nil
}

func (t *trust) judge(key ssh.PublicKey) *HostKeyError {
	plain := key
	if cert, ok := key.(*ssh.Certificate); ok {
		plain = cert.Key
	}
	e := &HostKeyError{
		Host: t.host, Type: plain.Type(), Fingerprint: ssh.FingerprintSHA256(plain),
		Line: knownhosts.Line(t.names[:1], plain), lax: t.lax,
	}
	if t.pin != nil {
		if string(t.pin.Marshal()) == string(key.Marshal()) {
			return nil
		}
		e.Known, e.Want = true, []string{fmt.Sprintf("%s (%s, pinned)", ssh.FingerprintSHA256(t.pin), t.pin.Type())}
		return e
	}
	err := t.known.check(t.names[0], key)
	if knownhosts.IsHostUnknown(err) && len(t.names) > 1 && t.known.check(t.names[1], key) == nil {
		return nil
	}
	return e.because(err, t.known)
}

// because fills in what known_hosts had to say; nil if nothing.
func (e *HostKeyError) because(err error, known *knownFiles) *HostKeyError {
	var key *xknownhosts.KeyError
	var revoked *xknownhosts.RevokedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &revoked):
		e.Known, e.Reason = true, "known_hosts marks it as revoked"
	case errors.As(err, &key):
		e.Known = len(key.Want) > 0
		for _, w := range key.Want {
			e.Want = append(e.Want, fmt.Sprintf("%s (%s, %s:%d)",
				ssh.FingerprintSHA256(w.Key), w.Key.Type(), known.name(w.Filename), w.Line))
		}
	default: // a certificate: expired, for another host, by an unknown authority
		e.Known, e.Reason = true, plain.Text(strings.TrimPrefix(err.Error(), "ssh: "), 200)
	}
	return e
}
