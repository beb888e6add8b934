package sshx

import (
	"bytes"
	"net/netip"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// What a connection proved is what other hosts are told to expect.
func TestProof(t *testing.T) {
	t.Parallel()
	s, jump := newServer(t), newServer(t, "AllowTcpForwarding yes")
	name := filepath.Join(t.TempDir(), "config")
	write(t, name, "Host named\n HostName localhost\n HostKeyAlias 127.0.0.1\n Port "+strconv.Itoa(s.port)+
		"\nHost jump\n HostName 127.0.0.1\n Port "+strconv.Itoa(jump.port)+"\n")
	write(t, jump.path("authorized_keys"), s.client.authorized())
	direct := netip.MustParseAddrPort(s.addr())
	for _, tt := range []struct {
		name, spec, jump string
		addr             netip.AddrPort
		jumped           bool
	}{
		{"direct", s.addr(), "", direct, false},
		{"behind a jump host, by address", s.addr(), "jump", direct, true},
		{"behind a jump host, by name", "named", "jump", netip.AddrPort{}, true},
	} {
		o := s.options(t)
		o.ConfigFile, o.Jump = name, tt.jump
		o.HostKeys = map[string]string{"127.0.0.1": s.host.authorized(), "named": s.host.authorized(), "jump": jump.host.authorized()}
		c, err := Dial(t.Context(), tt.spec, o)
		must(t, err)
		if key, err := ssh.ParsePublicKey(c.HostKey()); err != nil || !bytes.Equal(key.Marshal(), s.host.public().Marshal()) {
			t.Errorf("%s: not the host's key: %v", tt.name, err)
		}
		if c.RemoteAddr() != tt.addr || c.Jumped() != tt.jumped {
			t.Errorf("%s: %s, %v", tt.name, c.RemoteAddr(), c.Jumped())
		}
		eventually(t, "a round trip is known", func() bool { return c.RTT() > 0 })
		if c.RTT() > 10*time.Second {
			t.Errorf("%s: a round trip of %s", tt.name, c.RTT())
		}
		must(t, c.Close())
	}
}
