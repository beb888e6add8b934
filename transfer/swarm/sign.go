package swarm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"ship/transfer/wire"
)

// maxSignature bounds what a host may say about a layer, in bytes: a layer of 5 GB takes less.
const maxSignature = 128 << 20

// signing is a signature on its way from a member.
type signing struct {
	mu   sync.Mutex
	data bytes.Buffer
	err  error
	once sync.Once
	done chan struct{}
}

// Sign returns the signature (package delta) of a layer of an image that the member's engine holds.
func (m *Member) Sign(ctx context.Context, image, diffID string) (io.Reader, error) {
	g := &signing{done: make(chan struct{})}
	m.mu.Lock()
	m.lastID++
	id := m.lastID
	m.signs[id] = g
	m.mu.Unlock()
	m.say(func(c *wire.Conn) error {
		return c.SendJSON(wire.KindSign, wire.Sign{ID: id, Image: image, DiffID: diffID})
	})
	select {
	case <-g.done:
	case <-m.over:
		return nil, m.gone()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return nil, g.err
	}
	return &g.data, nil
}

func (g *signing) add(p []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.data.Len()+len(p) > maxSignature && g.err == nil {
		g.err = errors.New("a signature that is too long")
	}
	if g.err == nil {
		g.data.Write(p)
	}
}

func (g *signing) end(err error) {
	g.once.Do(func() {
		g.mu.Lock()
		g.err = errors.Join(g.err, err)
		g.mu.Unlock()
		close(g.done)
	})
}
