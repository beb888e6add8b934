package peer

import (
	"net"
	"sync"
	"testing"

	"ship/transfer/wire"
)

// fake is a peer that speaks as a test wants it to.
type fake struct {
	t    *testing.T
	raw  net.Conn
	conn *wire.Conn

	mu    sync.Mutex
	asked []key
	got   int // chunks
}

// newFake links a fake peer to a host; ended gets the outcome of the link.
func (f *fleet) newFake(h *host, name string) (p *fake, ended <-chan error) {
	x, y := net.Pipe()
	p = &fake{t: f.t, raw: y, conn: wire.NewConn(y)}
	out := make(chan error, 1)
	f.links.Go(func() { out <- h.node.Link(f.ctx, name, x) })
	return p, out
}

// say sends frames, and tells whether somebody listens still.
func (p *fake) say(frames ...frame) bool {
	for _, f := range frames {
		if p.conn.Send(f.kind, f.payload) != nil {
			return false
		}
	}
	return true
}

// offer says hello and which chunks there are.
func (p *fake) offer(id uint32, chunks int) {
	var held set
	for i := range chunks {
		held.add(i)
	}
	f, _ := newsFrame(id, held, new(set))
	p.say(helloFrame(), f)
}

// serve answers requests until the link ends; with answer nil they are only noted.
func (p *fake) serve(answer func(k key)) {
	for {
		kind, payload, err := p.conn.Recv()
		if err != nil {
			return
		}
		if kind == kindChunk {
			p.mu.Lock()
			p.got++
			p.mu.Unlock()
		}
		if kind != kindRequest {
			continue
		}
		k, _, err := parseKey(payload)
		if err != nil {
			p.t.Error(err)
			return
		}
		p.mu.Lock()
		p.asked = append(p.asked, k)
		p.mu.Unlock()
		if answer != nil {
			answer(k)
		}
	}
}

func (p *fake) requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asked)
}

func (p *fake) chunks() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got
}

// give sends a chunk.
func (p *fake) give(k key, data []byte) {
	_ = p.conn.SendChunk(kindChunk, wire.Chunk{Blob: k.blob, Index: uint32(k.index), Data: data}) // the link may have ended
}
