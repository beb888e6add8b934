package sshx

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
)

// key is a key pair for tests.
type key struct {
	private crypto.PrivateKey
	signer  ssh.Signer
}

func newKey(t testing.TB, kind string) key {
	t.Helper()
	var k key
	var err error
	switch kind {
	case "ed25519":
		_, k.private, err = ed25519.GenerateKey(rand.Reader)
	case "ecdsa":
		k.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		k.private, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		t.Fatalf("no such kind of key: %s", kind)
	}
	must(t, err)
	k.signer, err = ssh.NewSignerFromKey(k.private)
	must(t, err)
	return k
}

func (k key) public() ssh.PublicKey    { return k.signer.PublicKey() }
func (k key) authorized() string       { return string(ssh.MarshalAuthorizedKey(k.public())) }
func (k key) fingerprint() string      { return ssh.FingerprintSHA256(k.public()) }
func (k key) known(addr string) string { return knownhosts.Line([]string{addr}, k.public()) + "\n" }

// write puts the private key into a file; with a passphrase it is encrypted.
func (k key) write(t testing.TB, path, passphrase string) string {
	t.Helper()
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(k.private, "test")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(k.private, "test", []byte(passphrase))
	}
	must(t, err)
	must(t, os.WriteFile(path, pem.EncodeToMemory(block), 0o600))
	return path
}

// certify makes a certificate of k, signed by authority.
func (k key) certify(t testing.TB, authority key, kind uint32, principals ...string) *ssh.Certificate {
	t.Helper()
	c := &ssh.Certificate{
		Key: k.public(), CertType: kind, KeyId: "test", ValidPrincipals: principals,
		ValidBefore: ssh.CertTimeInfinity,
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-port-forwarding": ""}},
	}
	must(t, c.SignCert(rand.Reader, authority.signer))
	return c
}

// server is a real sshd on loopback that admits the current user by one key.
type server struct {
	dir       string
	port      int
	host      key // its ed25519 key; it has an ecdsa key too
	hostECDSA key
	client    key
	cmd       *exec.Cmd // nil before the first start
	log       *syncBuffer
}

// newServer starts sshd with extra lines of sshd_config. Forwarding is off unless they say otherwise.
func newServer(t testing.TB, extra ...string) *server {
	t.Helper()
	s := &server{dir: t.TempDir(), host: newKey(t, "ed25519"), hostECDSA: newKey(t, "ecdsa"), client: newKey(t, "ed25519"), log: &syncBuffer{}}
	s.host.write(t, s.path("host_ed25519"), "")
	s.hostECDSA.write(t, s.path("host_ecdsa"), "")
	s.client.write(t, s.path("id"), "")
	write(t, s.path("authorized_keys"), s.client.authorized())
	t.Cleanup(func() { s.stop(); s.logOnFailure(t) })
	for range 10 {
		s.port = 20_000 + mrand.IntN(12_000) // below those that the kernel gives to outgoing connections
		if s.start(t, extra...); !strings.Contains(s.log.String(), taken) {
			return s
		}
		s.stop()
	}
	t.Fatal("no port is free")
	return nil
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }
func (s *server) addr() string            { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// taken is what sshd says of a port that another has.
const taken = "Address already in use"

func (s *server) start(t testing.TB, extra ...string) {
	t.Helper()
	s.log.reset()
	if os.Getuid() == 0 {
		must(t, os.MkdirAll("/run/sshd", 0o755)) // sshd wants it, and the package makes it at boot only
	}
	config := strings.Join(append(extra,
		fmt.Sprintf("Port %d", s.port), "ListenAddress 127.0.0.1",
		"HostKey "+s.path("host_ed25519"), "HostKey "+s.path("host_ecdsa"),
		"AuthorizedKeysFile "+s.path("authorized_keys"), "StrictModes no", "UsePAM no", "PidFile none",
		"PasswordAuthentication no", "KbdInteractiveAuthentication no", "LogLevel VERBOSE",
		"AllowTcpForwarding no", "AllowAgentForwarding no", "X11Forwarding no", "PermitTTY no", "PermitTunnel no",
		"AllowStreamLocalForwarding no",
		"SetEnv HOME="+s.dir), "\n") // not what this machine's login shell reads at home
	write(t, s.path("sshd_config"), config+"\n")
	s.cmd = exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", s.path("sshd_config"))
	s.cmd.Stderr = s.log
	must(t, s.cmd.Start())
	// Its own word: whoever dials may reach another, and on a port of the kernel's choice even himself.
	eventually(t, "sshd listens", func() bool {
		said := s.log.String()
		return strings.Contains(said, "Server listening") || strings.Contains(said, taken)
	})
}

func (s *server) stop() {
	if s.cmd != nil && s.cmd.ProcessState == nil {
		for _, pid := range append(descendants(s.cmd.Process.Pid), s.cmd.Process.Pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = s.cmd.Wait()
	}
}

func (s *server) logOnFailure(t testing.TB) {
	if t.Failed() {
		t.Logf("sshd on port %d:\n%s", s.port, s.log.String())
	}
}

// sessions are the pids of the processes that serve connections, the oldest first.
func (s *server) sessions() []int { return children(s.cmd.Process.Pid) }

// signalSessions sends a signal to whatever serves connections now, below the listener.
func (s *server) signalSessions(t testing.TB, sig syscall.Signal) {
	t.Helper()
	pids := s.sessions()
	if len(pids) == 0 {
		t.Fatal("sshd serves no connection")
	}
	for _, pid := range pids {
		for _, p := range append(children(pid), pid) { // privilege separation: two processes a connection
			if b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p)); strings.HasPrefix(string(b), "sshd") {
				must(t, syscall.Kill(p, sig))
			}
		}
	}
}

// options are those of a person who knows s: its key in a known_hosts file, its user's key.
func (s *server) options(t testing.TB) Options {
	t.Helper()
	known := filepath.Join(t.TempDir(), "known_hosts")
	write(t, known, s.host.known(s.addr()))
	return Options{
		ConfigFile: "none", Identities: []string{s.path("id")}, KnownHosts: []string{known},
		Getenv: env("HOME", s.dir),
	}
}

func (s *server) dial(t testing.TB) *Client {
	t.Helper()
	c, err := Dial(t.Context(), s.addr(), s.options(t))
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

// descendants are all processes below pid.
func descendants(pid int) []int {
	var all []int
	for _, c := range children(pid) {
		all = append(append(all, c), descendants(c)...)
	}
	return all
}

func children(pid int) []int {
	var out []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range tasks {
		b, _ := os.ReadFile(f)
		for _, w := range strings.Fields(string(b)) {
			n, _ := strconv.Atoi(w)
			out = append(out, n)
		}
	}
	return out
}

// env is a Getenv of pairs.
func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func write(t testing.TB, path, text string) string {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !soon(ok) {
		t.Fatalf("not within 20 s: %s", what)
	}
}

// soon is eventually for goroutines of a test.
func soon(ok func() bool) bool {
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

func me(t testing.TB) string {
	t.Helper()
	u, err := user.Current()
	must(t, err)
	return u.Username
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.Reset()
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
