package place

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/cpu"
)

// PeerSpec says how to log in to another host, and how to know it.
type PeerSpec struct {
	Name    string // for errors
	User    string
	Addrs   []netip.AddrPort // each is tried
	HostKey []byte           // public key as on the wire; no other is accepted
	Key     []byte           // seed of the ed25519 key that was granted
}

// Times that a peer may take.
const (
	connectPatience = time.Second            // for TCP: neighbours are near
	loginPatience   = 5 * time.Second        // for SSH, from the first byte to a running command
	connectStagger  = 100 * time.Millisecond // before another address is tried, beside one that does not answer
	loginStagger    = time.Second            // before another address is tried, beside one that answered
	pause           = 300 * time.Millisecond // before an sshd that hung up is tried again, and up to twice that
	maxTries        = 3
	quiet           = 15 * time.Second // without a sign of life while there is something to acknowledge
)

// DialPeer logs in to a host and starts the command "join" there, which the host replaces by the forced command of the
// grant. The connection is the command's standard input and output. A deadline that passes ends it; ctx, once it is there,
// does not.
func DialPeer(ctx context.Context, p PeerSpec) (net.Conn, error) {
	c, err := dial(ctx, p, "join")
	if err != nil {
		return nil, fmt.Errorf("reach %s: %w", p.Name, err)
	}
	return c, nil
}

// PlaceOnPeer gives a host the helper, which the host checks against the grant that admits us. gz is a gzip stream of it.
func PlaceOnPeer(ctx context.Context, p PeerSpec, gz io.Reader) error {
	c, err := dial(ctx, p, "place")
	if err != nil {
		return fmt.Errorf("reach %s: %w", p.Name, err)
	}
	defer func() { _ = c.Close() }() // nothing more is said over it
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	// A host that has heard enough hangs up early, and says why: its answer counts, not the broken write.
	_, sent := io.Copy(c, gz)
	sent = errors.Join(sent, c.CloseWrite())
	out, err := io.ReadAll(io.LimitReader(c, maxAnswer))
	if len(out) > 0 {
		_, err = readAnswers(out)
	} else if err = errors.Join(err, sent); err == nil {
		err = io.ErrUnexpectedEOF
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("place the helper on %s: %w", p.Name, err)
	}
	return nil
}

// config is of a login that knows the one host key.
func (p PeerSpec) config() (*ssh.ClientConfig, error) {
	if len(p.Key) != ed25519.SeedSize {
		return nil, errors.New("no key to log in with")
	}
	signer, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(p.Key))
	if err != nil {
		return nil, err
	}
	known, err := ssh.ParsePublicKey(p.HostKey)
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	return &ssh.ClientConfig{
		User: p.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: ssh.FixedHostKey(known), HostKeyAlgorithms: algorithms(known.Type()),
		Config: ssh.Config{Ciphers: ciphers()},
	}, nil
}

// algorithms are the signatures by which a host can prove a key.
func algorithms(kind string) []string {
	if kind == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512}
	}
	return []string{kind}
}

// ciphers are in the order of what they cost: AES-GCM half of ChaCha20 where the processor has AES, many times as much
// where it has not.
func ciphers() []string {
	all := ssh.SupportedAlgorithms().Ciphers // AES-GCM first
	if cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ || cpu.ARM64.HasAES && cpu.ARM64.HasPMULL {
		return all
	}
	return append([]string{ssh.CipherChaCha20Poly1305}, all...)
}
