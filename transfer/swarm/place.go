package swarm

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"ship/internal/event"
	"ship/transfer/place"
	"ship/transfer/wire"
)

// place brings the helper onto the member's host, unless it is there, and makes the folder for this run.
func (m *Member) place(ctx context.Context, worth int64) error {
	var err error
	if _, m.signer, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return err
	}
	hashes := make(map[string]string)
	for arch, b := range m.swarm.Helpers {
		hashes[arch] = b.SHA256
	}
	if m.helper, err = place.Look(ctx, m.remote, hashes); err != nil || m.helper.Present {
		return err
	}
	return m.bring(ctx, m.swarm.Helpers[m.helper.Arch], worth)
}

// bring gives the host the helper: from a host that has it where there is one or is about to be, so that it too leaves
// here once; else from here.
func (m *Member) bring(ctx context.Context, b place.Binary, worth int64) error {
	s := m.swarm
	kind := m.helper.Arch + " " + m.Group
	late := time.NewTimer(givePatience)
	defer late.Stop()
	for {
		giver, sending, wait := s.giver(kind)
		switch {
		case giver != nil:
			err := giver.give(ctx, m)
			s.mu.Lock()
			giver.giving--
			s.mu.Unlock()
			if err == nil {
				m.helper.Present = true
				return nil
			}
			s.Emit.Emit(event.Event{Type: event.Message, Host: m.Name, Text: fmt.Sprintf("%s cannot bring the helper: %v", giver.Name, err)})
			return m.install(ctx, b, worth)
		case sending != nil:
			m.first = sending // until the helper runs here and can be given on
			return m.install(ctx, b, worth)
		}
		select {
		case <-wait:
		case <-late.C: // the first one's line is slow, or its host plays for time
			return m.install(ctx, b, worth)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// giver returns the member with the least to do that can give the helper to others; or says that the caller is to be the
// first, who calls done; or what to wait for.
func (s *Swarm) giver(kind string) (giver *Member, done func(), wait <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.members {
		if o.ready && !s.Star && o.helper.Arch+" "+o.Group == kind && (giver == nil || o.giving < giver.giving) {
			giver = o
		}
	}
	if giver != nil {
		giver.giving++
		return giver, nil, nil
	}
	if c := s.first[kind]; c != nil && !s.Star {
		return nil, nil, c
	}
	c := make(chan struct{})
	s.first[kind] = c
	return nil, func() {
		s.mu.Lock()
		delete(s.first, kind)
		s.mu.Unlock()
		close(c)
	}, nil
}

// install sends the helper from here, if it costs no more bytes than worth.
func (m *Member) install(ctx context.Context, b place.Binary, worth int64) error {
	if size := max(b.GzipSize, b.Size/3); size > worth {
		return fmt.Errorf("%w: %d bytes, for %d to bring", errNotWorth, size, worth)
	}
	var err error
	m.helper, err = place.Install(ctx, m.remote, m.helper, b)
	return err
}

var errNotWorth = errors.New("it is not there yet, and larger than what it would carry")

// givePatience is how long a member may take to give the helper to another.
const givePatience = time.Minute

// give lets the member's helper place itself on the host of another, which is no member yet.
func (m *Member) give(ctx context.Context, to *Member) error {
	if err := to.admit(ctx, m); err != nil {
		return err
	}
	p := to.asPeer()
	p.Key = m.signer.Seed()
	answer := make(chan wire.Linked, 1)
	m.mu.Lock()
	m.gifts[to.Name] = answer
	m.mu.Unlock()
	m.say(func(c *wire.Conn) error { return c.SendJSON(wire.KindPlace, p) })
	late := time.NewTimer(givePatience)
	defer late.Stop()
	select {
	case l := <-answer:
		if l.Up {
			return nil
		}
		return said(l.Error)
	case <-late.C:
		return fmt.Errorf("no answer within %s", givePatience)
	case <-m.over:
		return m.gone()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// placed hears what became of a gift.
func (m *Member) placed(l wire.Linked) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.gifts[l.Peer]; c != nil {
		c <- l // it has room
		delete(m.gifts, l.Peer)
	}
}

// forget gives back the run's folder of a host whose helper did not start.
func (m *Member) forget(ctx context.Context) {
	if m.helper.Dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience) // also when ctx has ended
	defer cancel()
	_ = place.Forget(ctx, m.remote, m.helper) // what stays goes after two days
}
