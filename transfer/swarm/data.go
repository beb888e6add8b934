package swarm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"ship/transfer/wire"
)

const (
	// longLine is a round trip from which on one channel's window of 2 MiB holds a line back.
	longLine     = 20 * time.Millisecond
	dataChannels = 2 // on a long line. An sshd allows 10 sessions, which the engine's and short commands need too
)

// openData opens the channels for chunks.
func (m *Member) openData(ctx context.Context) error {
	n := 1
	if m.rtt >= longLine {
		n = dataChannels
	}
	for i := range n {
		c, err := m.join(ctx)
		if err != nil && i > 0 {
			break // fewer will do
		}
		if err != nil {
			return fmt.Errorf("open data channel: %w", err)
		}
		m.swarm.tasks.Go(func() { m.feed(c) })
	}
	return nil
}

func (m *Member) join(ctx context.Context) (net.Conn, error) {
	c, err := m.remote.Start(ctx, false, m.helper.Path, "join", m.helper.Dir, m.swarm.run, wire.RoleData)
	if err != nil {
		return nil, err
	}
	hung := time.AfterFunc(startPatience, func() { _ = c.Close() })
	defer hung.Stop()
	ended := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer ended()
	if err := wire.Greet(c); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if _, err := wire.Greeted(c); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// feed sends queued chunks over one channel.
func (m *Member) feed(c net.Conn) {
	s := m.swarm
	stop := context.AfterFunc(s.feeds, func() { _ = c.Close() })
	defer stop()
	defer c.Close()
	w := wire.NewConn(alive{c, m})
	buf := make([]byte, maxChunk)
	for {
		var k key
		select {
		case k = <-m.queue:
		case <-m.over:
			return
		case <-s.feeds.Done():
			return
		}
		if !s.stillWanted(m, k) {
			continue
		}
		p, err := s.read(s.feeds, k.b, k.i, buf)
		if err != nil && s.feeds.Err() != nil {
			return
		}
		if err != nil {
			s.failBlob(k.b, err)
			s.mu.Lock()
			delete(m.under, k) // its place is free for a chunk of another blob
			s.mu.Unlock()
			continue
		}
		if err := w.SendChunk(wire.KindChunk, wire.Chunk{Blob: k.b.id, Index: uint32(k.i), Data: p}); err != nil {
			if s.feeds.Err() == nil {
				m.fail(fmt.Errorf("send chunk: %w", err))
			}
			return
		}
	}
}

// maxChunk is the size of a chunk in bytes.
const maxChunk = 1 << 20

// stillWanted: meanwhile the member may have got the chunk from a peer.
func (s *Swarm) stillWanted(m *Member, k key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := k.b.wants[m]
	if w == nil || !w.open() || w.has(k.i) || k.b.err != nil {
		delete(m.under, k)
		return false
	}
	return true
}
