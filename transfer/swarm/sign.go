package swarm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

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
	if err := m.signed(ctx, g); err != nil {
		m.mu.Lock()
		delete(m.signs, id) // what still comes of it is dropped
		m.mu.Unlock()
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return nil, g.err
	}
	return &g.data, nil
}

// signPatience is how long a member may go without one more byte of a signature: it reads a whole layer for it.
const signPatience = 2 * time.Minute

// signed waits for the end of a signature, for as long as it grows.
func (m *Member) signed(ctx context.Context, g *signing) error {
	late := time.NewTicker(signPatience)
	defer late.Stop()
	for had := -1; ; {
		select {
		case <-g.done:
			return nil
		case <-late.C:
			if n := g.size(); n != had {
				had = n
				continue
			}
			return fmt.Errorf("no more of a signature within %s", signPatience)
		case <-m.over:
			return m.gone()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (g *signing) size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.data.Len()
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
