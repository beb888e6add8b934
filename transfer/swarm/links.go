package swarm

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/crypto/ssh"

	"ship/internal/event"
	"ship/transfer/place"
	"ship/transfer/wire"
)

// link is a line between two members, both of which have it under the other's name.
type link struct {
	up    bool
	tried bool      // the other direction too
	told  bool      // that it is not up: once, however often a helper says so
	until time.Time // a link that is not up yet counts until then
	last  string    // why it is not up
}

// linkPatience is how long two members may take to reach each other. Until then they count as linked, or each would be
// sent what the other could give it.
const linkPatience = 8 * time.Second

func (l *link) counts(now time.Time) bool { return l.up || now.Before(l.until) }

const (
	// fullMesh: up to so many members all are linked to all.
	fullMesh = 5
	// degree is to how many others a member links itself beyond that. Each has about twice as many links then, which
	// costs nothing against a full mesh (simulated up to 100 hosts) and stays far below sshd's MaxStartups.
	degree = 2
	// keyLife is how long a member's key opens others, should nobody be left to take it back.
	keyLife = time.Hour
)

// linkUp links a new member to some that are there: to all, or to those with the fewest links.
func (s *Swarm) linkUp(m *Member) {
	if s.Star {
		return
	}
	var others []*Member
	for _, o := range s.members {
		if o != m && o.err == nil && o.Group == m.Group && o.links[m] == nil {
			others = append(others, o)
		}
	}
	n := len(others)
	if n >= fullMesh {
		n = degree
	}
	for ; n > 0; n-- {
		least := 0
		for i, o := range others {
			if len(o.links) < len(others[least].links) {
				least = i
			}
		}
		o := others[least]
		others = append(others[:least], others[least+1:]...)
		l := &link{until: time.Now().Add(linkPatience)}
		m.links[o], o.links[m] = l, l
		from, to := m, o
		if m.admits(o) { // it has brought the helper here
			from, to = o, m
		}
		s.tasks.Go(func() { s.connect(s.ctx, from, to) })
	}
}

func (m *Member) admits(o *Member) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.granted[o]
}

// connect lets from log in to to.
func (s *Swarm) connect(ctx context.Context, from, to *Member) {
	err := to.admit(ctx, from)
	if err != nil {
		s.linked(from, wire.Linked{Peer: to.Name, Error: err.Error()})
		return
	}
	p := to.asPeer()
	p.Key = from.signer.Seed()
	from.say(func(c *wire.Conn) error { return c.SendJSON(wire.KindPeer, p) })
}

// asPeer says how others reach the member.
func (m *Member) asPeer() wire.Peer {
	p := wire.Peer{Name: m.Name, User: m.login.User, HostKey: m.login.HostKey}
	port := m.login.Port
	if port == 0 {
		port = 22
	}
	if m.login.Addr.IsValid() {
		port = m.login.Addr.Port()
		p.Addrs = append(p.Addrs, m.login.Addr.String())
	}
	for _, a := range m.addrs() {
		if a != m.login.Addr.Addr() {
			p.Addrs = append(p.Addrs, netip.AddrPortFrom(a, port).String())
		}
	}
	return p
}

// addrs are the addresses that the member's host says it has.
func (m *Member) addrs() []netip.Addr {
	var out []netip.Addr
	for _, w := range m.welcome.Addrs {
		if a, err := netip.ParseAddr(w); err == nil && len(out) < maxAddrs {
			out = append(out, a.Unmap())
		}
	}
	return out
}

// maxAddrs of one host; a machine with many containers has many.
const maxAddrs = 16

// admit lets another member's helper join this one's, and do nothing else, from the addresses that it has.
func (m *Member) admit(ctx context.Context, other *Member) error {
	key, err := ssh.NewPublicKey(other.signer.Public().(ed25519.PublicKey))
	if err != nil {
		return err
	}
	from := other.addrs()
	if a := other.login.Addr.Addr(); a.IsValid() {
		from = append(from, a)
	}
	m.mu.Lock()
	done := m.granted[other]
	m.granted[other] = true
	m.mu.Unlock()
	if done {
		return nil
	}
	join := place.JoinCommand(m.helper.Path, m.helper.Dir, m.swarm.run, wire.RolePeer, other.Name)
	bring := place.PlaceCommand(m.helper, m.swarm.Helpers[m.helper.Arch])
	return place.Admit(ctx, m.remote, place.Grant{Run: m.swarm.run, Key: key, From: from, Life: keyLife, Command: place.Either(join, bring)})
}

// unlink takes back the keys that open the member's host.
func (m *Member) unlink(ctx context.Context) {
	m.mu.Lock()
	granted := len(m.granted)
	clear(m.granted)
	m.mu.Unlock()
	if granted == 0 {
		return
	}
	if m.remote.Lost() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, endPatience, errors.New("the connection is lost"))
		defer cancel()
	}
	if err := place.Revoke(ctx, m.remote, m.swarm.run); err != nil {
		m.swarm.Emit.Emit(event.Event{Type: event.Warning, Host: m.Name,
			Text: fmt.Sprintf("the key of this run stays in authorized_keys until it expires, within %s: %v", keyLife, err)})
	}
}

// linked hears what became of a link. What does not work in one direction is tried in the other.
func (s *Swarm) linked(m *Member, x wire.Linked) {
	s.mu.Lock()
	defer s.poke()
	defer s.mu.Unlock()
	var o *Member
	for _, c := range s.members {
		if c.Name == x.Peer && c.err == nil {
			o = c
		}
	}
	if o == nil || m.links[o] == nil {
		return
	}
	l := m.links[o]
	wasUp := l.up
	if l.up = x.Up; l.up {
		return
	}
	l.last = x.Error
	if !wasUp && !l.tried && s.ctx.Err() == nil && m.err == nil {
		l.tried, l.until = true, time.Now().Add(linkPatience)
		s.tasks.Go(func() { s.connect(s.ctx, o, m) })
		return
	}
	l.until = time.Time{}
	if s.ctx.Err() == nil && !m.left && !o.left && !l.told {
		l.told = true
		s.Emit.Emit(event.Event{Type: event.Message, Host: m.Name, Text: fmt.Sprintf("no line to %s: %v; it is fed from here where nobody else can", o.Name, said(x.Error))})
	}
}
