//go:build linux

package lab

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// IdentityFile is the private key that every user of every host accepts.
func (l *Lab) IdentityFile() string { return filepath.Join(l.dir, "id_ed25519") }

// KnownHosts is a known_hosts file with the hosts' ed25519 keys, by name and by address. The hosts offer an ecdsa
// key too, which is not in it.
func (l *Lab) KnownHosts() string { return filepath.Join(l.dir, "known_hosts") }

// SSHConfig is an ssh_config file with which the hosts' names work: ssh -F FILE h1.
func (l *Lab) SSHConfig() string { return filepath.Join(l.dir, "ssh_config") }

// writeKeys makes the lab's key.
func (l *Lab) writeKeys() error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	private, public, err := encodeKey(key, "ship-lab")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(l.IdentityFile(), []byte(private), 0o600),
		os.WriteFile(l.IdentityFile()+".pub", []byte(public), 0o644),
	)
}

// writeClientFiles makes known_hosts and ssh_config once the hosts' keys are there.
func (l *Lab) writeClientFiles() error {
	var known strings.Builder
	for _, h := range l.Hosts {
		key, err := os.ReadFile(h.path("host_key.pub"))
		if err != nil {
			return err
		}
		f := strings.Fields(string(key))
		fmt.Fprintf(&known, "%s,%s %s %s\n", h.Name, h.Addr, f[0], f[1])
	}
	return errors.Join(
		os.WriteFile(l.KnownHosts(), []byte(known.String()), 0o644),
		os.WriteFile(l.SSHConfig(), []byte(l.sshConfig(l.IdentityFile(), l.KnownHosts())), 0o644),
	)
}

func (l *Lab) sshConfig(identity, known string) string {
	var c strings.Builder
	for _, h := range l.Hosts {
		fmt.Fprintf(&c, "Host %s\n  HostName %s\n", h.Name, h.Addr)
	}
	fmt.Fprintf(&c, "Host *\n  User root\n  IdentityFile %s\n  IdentitiesOnly yes\n  UserKnownHostsFile %s\n"+
		"  StrictHostKeyChecking yes\n  BatchMode yes\n  ConnectTimeout 5\n", identity, known)
	return c.String()
}

// Authorize makes the host a controller: its root gets the lab's key, known_hosts and ssh_config, so that ssh and
// ship reach every other host from there by name. Without it the hosts hold no keys for each other.
func (h *Host) Authorize(ctx context.Context) error {
	key, err := os.ReadFile(h.lab.IdentityFile())
	if err != nil {
		return err
	}
	known, err := os.ReadFile(h.lab.KnownHosts())
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"id_ed25519": string(key), "known_hosts": string(known),
		"config": h.lab.sshConfig("/root/.ssh/id_ed25519", "/root/.ssh/known_hosts"),
	} {
		cmd := h.Command(ctx, "/bin/sh", "-c", "umask 077; cat >/root/.ssh/"+name)
		cmd.Stdin = strings.NewReader(content)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("authorize %s: %w: %s", h.Name, err, out)
		}
	}
	return nil
}
