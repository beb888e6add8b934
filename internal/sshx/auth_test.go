package sshx

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

func TestLogin(t *testing.T) {
	t.Parallel()
	authority := newKey(t, "ed25519")
	s := newServer(t, "MaxAuthTries 6")
	rsaKey, ecdsaKey, certified := newKey(t, "rsa"), newKey(t, "ecdsa"), newKey(t, "ed25519")
	write(t, s.path("authorized_keys"), s.client.authorized()+rsaKey.authorized()+ecdsaKey.authorized()+"cert-authority "+authority.authorized())
	dir := t.TempDir()
	wrong := newKey(t, "ed25519")
	wrong.write(t, dir+"/wrong", "")
	s.client.write(t, dir+"/locked", "secret")
	rsaKey.write(t, dir+"/rsa", "")
	certified.write(t, dir+"/certified", "")
	write(t, dir+"/certified-cert.pub", string(ssh.MarshalAuthorizedKey(certified.certify(t, authority, ssh.UserCert, me(t)))))
	s.client.write(t, dir+"/open", "")
	must(t, os.Chmod(dir+"/open", 0o644))
	write(t, dir+"/public", s.client.authorized())
	write(t, dir+"/garbage", "-----BEGIN OPENSSH PRIVATE KEY-----\nZm9v\n-----END OPENSSH PRIVATE KEY-----\n")
	crowd := []key{wrong}
	for range 7 {
		crowd = append(crowd, newKey(t, "ed25519"))
	}
	for name, tt := range map[string]struct {
		keys   []string // -i
		config string   // ssh_config
		agent  []key    // nil = none runs
		tried  []string // in an AuthError; empty = the login works
		hint   string
	}{
		"file":                     {keys: []string{"rsa"}},
		"second file":              {keys: []string{"wrong", "rsa"}},
		"certificate":              {keys: []string{"certified"}},
		"IdentityFile":             {config: "IdentityFile " + dir + "/none\nIdentityFile " + dir + "/wrong\nIdentityFile " + dir + "/rsa"},
		"CertificateFile":          {config: "IdentityFile " + dir + "/certified\nCertificateFile " + dir + "/certified-cert.pub"},
		"agent":                    {agent: []key{wrong, ecdsaKey}},
		"agent with rsa":           {agent: []key{rsaKey}},
		"locked, in the agent":     {keys: []string{"locked"}, agent: []key{s.client}},
		"public half, in agent":    {keys: []string{"public"}, agent: []key{s.client}},
		"named one of many":        {config: "IdentityFile " + dir + "/locked", agent: append(crowd[:7:7], s.client)},
		"only the named of many":   {config: "IdentitiesOnly yes\nIdentityFile " + dir + "/locked", agent: append(crowd[:7:7], s.client)},
		"agent is gone":            {keys: []string{"rsa"}, config: "IdentityAgent " + dir + "/none.sock"},
		"nothing":                  {tried: []string{}, hint: "ssh-copy-id"},
		"wrong":                    {keys: []string{"wrong"}, tried: []string{dir + "/wrong " + wrong.fingerprint()}},
		"locked":                   {keys: []string{"locked"}, tried: []string{dir + "/locked " + s.client.fingerprint() + ": encrypted, and no agent holds it: ssh-add it"}},
		"open to others":           {keys: []string{"open"}, tried: []string{dir + "/open: its mode 0644 lets others read it: chmod 600"}},
		"public half":              {keys: []string{"public"}, tried: []string{dir + "/public " + s.client.fingerprint() + ": only its public key is here, and no agent holds it"}},
		"garbage":                  {keys: []string{"garbage"}, tried: []string{dir + "/garbage: not a private key that can be read"}},
		"too many":                 {agent: crowd, tried: []string{"agent " + wrong.fingerprint()}, hint: "IdentitiesOnly"},
		"IdentitiesOnly, not this": {config: "IdentitiesOnly yes\nIdentityFile " + dir + "/wrong", agent: []key{s.client}, tried: []string{dir + "/wrong " + wrong.fingerprint()}},
		"IdentityAgent none":       {config: "IdentityAgent none", agent: []key{s.client}, tried: []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			o := s.options(t)
			o.Identities = nil
			for _, k := range tt.keys {
				o.Identities = append(o.Identities, filepath.Join(dir, k))
			}
			o.ConfigFile = write(t, t.TempDir()+"/config", tt.config)
			if !strings.Contains(tt.config, "IdentityFile") { // else the keys of whoever runs the test are tried
				o.ConfigFile = write(t, o.ConfigFile, tt.config+"\nIdentityFile "+dir+"/none\n")
			}
			if tt.agent != nil {
				o.Getenv = env("HOME", dir, "SSH_AUTH_SOCK", startAgent(t, tt.agent))
			}
			c, err := Dial(t.Context(), s.addr(), o)
			if tt.tried == nil {
				must(t, err)
				must(t, c.Close())
				return
			}
			var e *AuthError
			if !errors.As(err, &e) || e.User != me(t) || !strings.Contains(e.Hint(), tt.hint) {
				t.Fatalf("err = %v", err)
			}
			for i, want := range tt.tried {
				if len(e.Tried) <= i || e.Tried[i] != want {
					t.Errorf("tried %q, want %q", e.Tried, tt.tried)
				}
			}
			if strings.Contains(err.Error(), "PRIVATE KEY") {
				t.Error("shows a key")
			}
		})
	}
	t.Run("missing file", func(t *testing.T) {
		o := s.options(t)
		o.Identities = []string{dir + "/none"}
		if _, err := Dial(t.Context(), s.addr(), o); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("a host that wants more than a key", func(t *testing.T) {
		s := newServer(t, "AuthenticationMethods publickey,password", "PasswordAuthentication yes")
		var e *AuthError
		if _, err := Dial(t.Context(), s.addr(), s.options(t)); !errors.As(err, &e) || !strings.Contains(e.Hint(), "asks for password") {
			t.Errorf("err = %v", err)
		}
	})
}

// startAgent runs a real ssh-agent that holds keys.
func startAgent(t *testing.T, keys []key) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // t.TempDir is too long for a socket
	must(t, err)
	socket := filepath.Join(dir, "s")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		os.RemoveAll(dir)
	})
	var conn net.Conn
	eventually(t, "ssh-agent listens", func() bool {
		conn, err = net.Dial("unix", socket)
		return err == nil
	})
	defer conn.Close()
	client := agent.NewClient(conn)
	for i, k := range keys {
		must(t, client.Add(agent.AddedKey{PrivateKey: k.private, Comment: fmt.Sprint(i)}))
	}
	return socket
}
