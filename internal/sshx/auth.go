package sshx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

const methodKey = "publickey"

// errNoKey ends an authentication: there is nothing left to offer.
var errNoKey = errors.New("no more keys")

// login offers keys to one hop, one after the other. It serves one handshake.
type login struct {
	host, user string
	offers     []offer
	conn       net.Conn // to the agent, for as long as the handshake runs; nil without one

	next    int
	tried   []string
	methods []string // what the hop said it takes
	asked   bool     // the hop asked for a key: it has shown its own
}

// offer is a key to show, or the reason why it cannot be.
type offer struct {
	name   string
	signer ssh.Signer
}

// newLogin collects the keys for s: those of Options, the agent's (those that ssh_config names first), those of
// ssh_config. The agent connection ends with ctx, or by close.
func newLogin(ctx context.Context, s settings) (*login, error) {
	l := &login{host: s.written, user: s.user}
	var own, configured []identity
	for _, path := range s.identities {
		id, err := readIdentity(path, s.certificates)
		if err != nil {
			return nil, fmt.Errorf("identity: %w", err)
		}
		own = append(own, id)
	}
	for _, path := range s.configured {
		id, err := readIdentity(path, s.certificates)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			id.problem = "cannot be read"
		}
		if err == nil || id.problem != "" {
			configured = append(configured, id)
		}
	}
	held := l.ask(ctx, s.agent)
	for _, id := range own {
		l.add(id, held)
	}
	for _, id := range configured {
		if holds(held, id.public) != nil {
			l.add(identity{path: id.path, public: id.public, certs: id.certs}, held)
		}
	}
	if !s.identitiesOnly {
		for _, k := range held {
			l.offer("agent", k)
		}
	}
	for _, id := range configured {
		l.add(id, held)
	}
	return l, nil
}

// ask lists what the agent holds. An agent that cannot be asked is noted, and the files may still do.
func (l *login) ask(ctx context.Context, socket string) []ssh.Signer {
	if socket == "" {
		return nil
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		l.tried = append(l.tried, "agent "+socket+": cannot be reached")
		return nil
	}
	l.conn = conn
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // a unix socket has deadlines
	}
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		l.tried = append(l.tried, "agent "+socket+": gives no keys")
		return nil
	}
	return signers
}

// add offers the certificates of an identity, then its key, by its own signer or the agent's.
func (l *login) add(id identity, held []ssh.Signer) {
	signer := id.signer
	if signer == nil {
		signer = holds(held, id.public)
	}
	if signer == nil {
		name := id.path
		if id.public != nil {
			name += " " + ssh.FingerprintSHA256(id.public)
		}
		if note := name + ": " + id.problem; !slices.Contains(l.tried, note) {
			l.tried = append(l.tried, note)
		}
		return
	}
	for _, c := range id.certs {
		if s, err := ssh.NewCertSigner(c, signer); err == nil {
			l.offer(id.path+"-cert.pub", s)
		}
	}
	l.offer(id.path, signer)
}

// offer appends a key that is not there yet. RSA keys sign with SHA-2 only.
func (l *login) offer(name string, s ssh.Signer) {
	for _, o := range l.offers {
		if same(o.signer.PublicKey(), s.PublicKey()) {
			return
		}
	}
	if as, ok := s.(ssh.AlgorithmSigner); ok && strings.HasPrefix(s.PublicKey().Type(), ssh.KeyAlgoRSA) {
		sha2, err := ssh.NewSignerWithAlgorithms(as, []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256})
		if err == nil {
			s = sha2
		}
	}
	l.offers = append(l.offers, offer{name + " " + ssh.FingerprintSHA256(s.PublicKey()), s})
}

// choose is the ssh.ClientAuthCallback: one key at a time, so that one that cannot sign does not end the rest.
func (l *login) choose(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	l.asked = true
	l.methods = c.AllowedMethods
	if !slices.Contains(c.AllowedMethods, methodKey) || l.next == len(l.offers) {
		return nil, errNoKey
	}
	o := l.offers[l.next]
	l.next++
	l.tried = append(l.tried, o.name)
	return ssh.PublicKeys(o.signer), nil
}

// refused is the error of a login that failed.
func (l *login) refused(err error) *AuthError {
	return &AuthError{
		Host: l.host, User: l.user, Tried: l.tried, Methods: l.methods,
		crowd: strings.Contains(err.Error(), "Too many authentication failures"),
	}
}

func (l *login) close() {
	if l.conn != nil {
		l.conn.Close()
	}
}

// holds finds the agent's signer for a key.
func holds(held []ssh.Signer, key ssh.PublicKey) ssh.Signer {
	if key == nil {
		return nil
	}
	for _, s := range held {
		if same(s.PublicKey(), key) {
			return s
		}
	}
	return nil
}
