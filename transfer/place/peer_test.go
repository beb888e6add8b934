package place

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// joinable is a helper that says how it is joined, then repeats what it hears.
func joinable(t testing.TB) Binary { return helper(t, `shift; printf 'joined %s\n' "$*"; exec cat`) }

func readAll(t testing.TB, c net.Conn) string {
	t.Helper()
	must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	b, err := io.ReadAll(c)
	must(t, err)
	return string(b)
}

func TestJoin(t *testing.T) {
	for _, name := range []string{"h1", "h2"} {
		for _, user := range []string{"root", "deploy"} {
			t.Run(name+" "+user, func(t *testing.T) {
				h := host(t, name)
				sh := loginAs(t, h, user)
				before := shell(t, h, "cat ~"+user+"/.ssh/authorized_keys")
				f := installed(t, sh, joinable(t))
				t.Run("linked", func(t *testing.T) {
					p := granted(t, h, user, sh, JoinCommand(f.Path, f.Dir, "run1", "peer", `h'9 "x" $HOME \n !!`))
					c, err := DialPeer(t.Context(), p)
					must(t, err)
					defer c.Close()
					big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
					go func() {
						_, _ = c.Write(big) // what is missing shows on the other side
						_ = c.(interface{ CloseWrite() error }).CloseWrite()
					}()
					want := "joined " + f.Dir + ` run1 peer h'9 "x" $HOME \n !!` + "\n" + string(big)
					if got := readAll(t, c); got != want {
						t.Errorf("%d bytes beginning with %.100q, want %d with %.100q", len(got), got, len(want), want)
					}
				})
				if got := shell(t, h, "cat ~"+user+"/.ssh/authorized_keys"); got != before {
					t.Errorf("authorized_keys afterwards:\n%s", got)
				}
			})
		}
	}
}

// What a key opens is its forced command, whatever is asked for.
func TestGrantOpensNothingElse(t *testing.T) {
	h := host(t, "h1")
	shell(t, h, "sed -i 's/^Allow.*Forwarding no$/#&/' /etc/ssh/sshd_config"+reload)
	t.Cleanup(func() {
		shell(t, h, "sed -i 's/^#Allow/Allow/' /etc/ssh/sshd_config"+reload)
	})
	sh := loginAs(t, h, "deploy")
	f := installed(t, sh, joinable(t))
	p := granted(t, h, "deploy", sh, JoinCommand(f.Path, f.Dir, "run1", "peer", "h2"))
	c, err := dial(t.Context(), p, "cat /etc/shadow")
	must(t, err)
	defer c.Close()
	must(t, c.CloseWrite())
	if got := readAll(t, c); got != "joined "+f.Dir+" run1 peer h2\n" {
		t.Errorf("another command brings %q", got)
	}
	var refused *ssh.OpenChannelError
	_, _, err = c.client.OpenChannel("direct-tcpip", ssh.Marshal(struct {
		Host  string
		Port  uint32
		From  string
		FPort uint32
	}{"127.0.0.1", 22, "127.0.0.1", 1}))
	if !errors.As(err, &refused) {
		t.Errorf("a forwarded connection: %v, want it refused", err)
	}
	s, reqs, err := c.client.OpenChannel("session", nil)
	must(t, err)
	go ssh.DiscardRequests(reqs)
	for what, payload := range map[string][]byte{
		"pty-req": ssh.Marshal(struct {
			Term       string
			W, H, X, Y uint32
			Modes      string
		}{Term: "xterm"}),
		"auth-agent-req@openssh.com": nil,
	} {
		if ok, err := s.SendRequest(what, true, payload); ok || err != nil {
			t.Errorf("%s: %v, %v, want it refused", what, ok, err)
		}
	}
}

func TestJoinRefused(t *testing.T) {
	h := host(t, "h1")
	sh := loginAs(t, h, "deploy")
	f := installed(t, sh, joinable(t))
	join := JoinCommand(f.Path, f.Dir, "run1", "peer", "h2")
	good := granted(t, h, "deploy", sh, join)
	elsewhere, public := newKey(t)
	must(t, Admit(t.Context(), sh, Grant{Run: "elsewhere", Key: public, From: []netip.Addr{theLab.Host("h2").Addr}, Command: join, Life: time.Hour}))
	short, public := newKey(t)
	must(t, Admit(t.Context(), sh, Grant{Run: "short", Key: public, From: []netip.Addr{controller()}, Command: join, Life: 4 * time.Second}))
	t.Cleanup(func() { must(t, Revoke(context.WithoutCancel(t.Context()), sh, "elsewhere")) })
	shortly := spec(t, h, "deploy", short)
	if c, err := DialPeer(t.Context(), shortly); err != nil {
		t.Errorf("before it expires: %v", err)
	} else {
		must(t, c.Close())
	}
	time.Sleep(5 * time.Second) // the host's own clock decides

	stranger, _ := newKey(t)
	wrongHost := good
	wrongHost.HostKey = spec(t, host(t, "h2"), "deploy", nil).HostKey
	dead := good
	dead.Addrs = []netip.AddrPort{netip.AddrPortFrom(h.Addr, 23), netip.AddrPortFrom(theLab.Subnet.Addr().Next().Next(), 22)}
	for _, c := range []struct {
		name string
		spec PeerSpec
		want string
	}{
		{"another host", wrongHost, "host key mismatch"},
		{"an unknown key", spec(t, h, "deploy", stranger), "unable to authenticate"},
		{"from another address", spec(t, h, "deploy", elsewhere), "unable to authenticate"},
		{"an expired grant", shortly, "unable to authenticate"},
		{"another user", func() PeerSpec { p := good; p.User = "sudoer"; return p }(), "unable to authenticate"},
		{"no such address", dead, "connection refused"},
		{"no address", func() PeerSpec { p := good; p.Addrs = nil; return p }(), "no address"},
		{"no key", func() PeerSpec { p := good; p.Key = nil; return p }(), "no key"},
		{"no host key", func() PeerSpec { p := good; p.HostKey = nil; return p }(), "host key"},
	} {
		conn, err := DialPeer(t.Context(), c.spec)
		if err == nil {
			_ = conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "h1") {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	c, err := DialPeer(t.Context(), good)
	must(t, err)
	must(t, c.Close())
}

// A host has addresses that lead nowhere from here, and one that leads to somebody else.
func TestJoinByTheRightAddress(t *testing.T) {
	h := host(t, "h1")
	sh := loginAs(t, h, "deploy")
	f := installed(t, sh, joinable(t))
	p := granted(t, h, "deploy", sh, JoinCommand(f.Path, f.Dir, "run1", "peer", "h2"))
	nobody := theLab.Subnet.Addr().Next().Next()
	p.Addrs = []netip.AddrPort{netip.AddrPortFrom(nobody, 22), netip.AddrPortFrom(host(t, "h2").Addr, 22), netip.AddrPortFrom(h.Addr, 23), p.Addrs[0]}
	c, err := DialPeer(t.Context(), p)
	must(t, err)
	defer c.Close()
	if a := c.RemoteAddr().String(); a != netip.AddrPortFrom(h.Addr, 22).String() {
		t.Errorf("connected to %s", a)
	}
}

func TestJoinGivesUpWithItsContext(t *testing.T) {
	h := host(t, "h2")
	sh := loginAs(t, h, "deploy")
	f := installed(t, sh, joinable(t))
	p := granted(t, h, "deploy", sh, JoinCommand(f.Path, f.Dir, "run1", "peer", "h1"))
	must(t, h.Freeze(t.Context()))
	defer func() { must(t, h.Thaw(context.WithoutCancel(t.Context()))) }()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, errors.New("enough"))
	defer cancel()
	if _, err := DialPeer(ctx, p); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("a frozen host: %v, want the cause of the end", err)
	}
	if _, err := DialPeer(t.Context(), p); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a frozen host: %v, want a deadline", err)
	}
}

// A host that is gone without a word ends the connections to it.
func TestJoinedHostIsGone(t *testing.T) {
	h := host(t, "h2")
	sh := loginAs(t, h, "deploy")
	f := installed(t, sh, joinable(t))
	p := granted(t, h, "deploy", sh, JoinCommand(f.Path, f.Dir, "run1", "peer", "h1"))
	c, err := DialPeer(t.Context(), p)
	must(t, err)
	defer c.Close()
	must(t, h.Freeze(t.Context())) // its kernel still acknowledges: no news, no end
	time.Sleep(time.Second)
	must(t, h.Thaw(t.Context()))
	_, err = io.WriteString(c, "still there?\n")
	must(t, err)
	_, err = io.ReadFull(c, make([]byte, 40))
	must(t, err)
	must(t, h.Cut(t.Context()))
	defer func() { must(t, h.Heal(context.WithoutCancel(t.Context()))) }()
	ended := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c, "and now?\n")
		if err == nil {
			_, err = io.Copy(io.Discard, c)
		}
		ended <- err
	}()
	select {
	case <-ended:
	case <-time.After(2 * quiet):
		t.Errorf("no end %v after the line was cut", 2*quiet)
	}
}

// h1's helper joins h2's: nobody but the two hosts takes part.
func TestHostToHost(t *testing.T) {
	from, to := host(t, "h1"), host(t, "h2")
	sh := loginAs(t, to, "deploy")
	f := installed(t, sh, joinable(t))
	seed, public := newKey(t)
	must(t, Admit(t.Context(), sh, Grant{Run: "a-b", Key: public, From: []netip.Addr{from.Addr}, Life: time.Hour,
		Command: JoinCommand(f.Path, f.Dir, "run1", "peer", "h1")}))
	t.Cleanup(func() { must(t, Revoke(context.WithoutCancel(t.Context()), sh, "a-b")) })
	self, err := os.Open("/proc/self/exe")
	must(t, err)
	defer self.Close()
	put := from.Command(t.Context(), "/bin/sh", "-c", "cat >/tmp/dialler && chmod 700 /tmp/dialler")
	put.Stdin = self
	must(t, put.Run())
	t.Cleanup(func() { shell(t, from, "rm /tmp/dialler") })
	text, err := json.Marshal(spec(t, to, "deploy", seed))
	must(t, err)
	cmd := from.Command(t.Context(), "/usr/bin/env", "PLACE_TEST_DIAL="+string(text), "/tmp/dialler")
	out, err := cmd.CombinedOutput()
	if want := "joined " + f.Dir + " run1 peer h1\nfrom " + from.Addr.String() + "\n"; string(out) != want || err != nil {
		t.Errorf("%v: %q, want %q", err, out, want)
	}
}

func TestPlaceOnPeer(t *testing.T) {
	for _, user := range []string{"root", "deploy"} {
		t.Run(user, func(t *testing.T) {
			h := host(t, "h2")
			sh := loginAs(t, h, user)
			b := joinable(t)
			f, err := Look(t.Context(), sh, hashes(b))
			must(t, err)
			command := Either(JoinCommand(f.Path, f.Dir, "run1", "peer", "h'1"), PlaceCommand(f, b))
			p := granted(t, h, user, sh, command)
			for name, bad := range map[string][]byte{"another program": zipped(t, []byte("#!/bin/sh\n")), "half of it": half(t, b), "nothing": nil, "noise": []byte("noise")} {
				if err := PlaceOnPeer(t.Context(), p, bytes.NewReader(bad)); !errors.Is(err, ErrDamaged) {
					t.Errorf("%s: %v, want ErrDamaged", name, err)
				}
			}
			gz, err := b.Open()
			must(t, err)
			must(t, PlaceOnPeer(t.Context(), p, gz))
			now, err := Look(t.Context(), sh, hashes(b))
			must(t, err)
			if !now.Present || now.Path != f.Path {
				t.Errorf("found %+v, want it present at %s", now, f.Path)
			}
			c, err := DialPeer(t.Context(), p)
			must(t, err)
			defer c.Close()
			must(t, c.(interface{ CloseWrite() error }).CloseWrite())
			if got := readAll(t, c); got != "joined "+f.Dir+" run1 peer h'1\n" {
				t.Errorf("joined: %q", got)
			}
			other, err := dial(t.Context(), p, "place; cat /etc/passwd")
			must(t, err)
			defer other.Close()
			if got := readAll(t, other); got != "" {
				t.Errorf("neither join nor place: %q", got)
			}
		})
	}
}

func half(t testing.TB, b Binary) []byte {
	t.Helper()
	r, err := b.Open()
	must(t, err)
	all, err := io.ReadAll(r)
	must(t, err)
	return all[:len(all)/2]
}

// Few connections at a time reach an sshd: it drops those beyond MaxStartups that are not logged in yet.
func TestJoinIsNoStorm(t *testing.T) {
	h := host(t, "h1")
	sh := loginAs(t, h, "deploy")
	f := installed(t, sh, joinable(t))
	p := granted(t, h, "deploy", sh, JoinCommand(f.Path, f.Dir, "run1", "peer", "h2"))
	shell(t, h, "printf 'MaxStartups 1:100:1\\n' >>/etc/ssh/sshd_config"+reload)
	t.Cleanup(func() { shell(t, h, "sed -i '/^MaxStartups/d' /etc/ssh/sshd_config"+reload) })
	// Somebody else is about to log in, and takes the only place for a while.
	other, err := net.Dial("tcp", p.Addrs[0].String())
	must(t, err)
	time.AfterFunc(300*time.Millisecond, func() { _ = other.Close() })
	p.Addrs = []netip.AddrPort{p.Addrs[0], p.Addrs[0], p.Addrs[0], p.Addrs[0]}
	c, err := DialPeer(t.Context(), p)
	must(t, err)
	must(t, c.Close())
}

func TestOthers(t *testing.T) {
	a, b := netip.MustParseAddrPort("192.0.2.1:22"), netip.MustParseAddrPort("[::ffff:192.0.2.2]:22")
	own := []netip.Addr{netip.MustParseAddr("192.0.2.2")}
	if got := others([]netip.AddrPort{b, a}, own); len(got) != 1 || got[0] != a {
		t.Errorf("%v, want %v", got, a)
	}
	if got := others([]netip.AddrPort{b}, own); len(got) != 1 {
		t.Errorf("%v, want our own address where there is no other", got)
	}
}
