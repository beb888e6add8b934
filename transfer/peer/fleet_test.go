package peer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"ship/transfer/chunk"
)

// content is a blob's bytes and what the controller knows of them.
type content struct {
	data []byte
	sums []chunk.Sum
}

func newContent(seed uint64, size int) content {
	c := content{data: make([]byte, size)}
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = r.Read(c.data) // never fails
	for i := range c.chunks() {
		c.sums = append(c.sums, sha256.Sum256(c.chunk(i)))
	}
	return c
}

func (c content) chunks() int { return (len(c.data) + chunk.Size - 1) / chunk.Size }

func (c content) chunk(i int) []byte {
	return c.data[i*chunk.Size : min(len(c.data), (i+1)*chunk.Size)]
}

// host is a node with a store, as a helper has them.
type host struct {
	t     *testing.T
	name  string
	store *chunk.Store
	node  *Node

	mu     sync.Mutex
	blobs  map[uint32]*chunk.Blob
	from   map[string]int // chunks by peer
	failed map[uint32]error
}

func newHost(t *testing.T, name string) *host {
	t.Helper()
	store, err := chunk.Open(t.TempDir(), 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, name: name, store: store, blobs: map[uint32]*chunk.Blob{}, from: map[string]int{}, failed: map[uint32]error{}}
	h.node = New(Options{
		Have: func(_ uint32, _ int, from string) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.from[from]++
		},
		Failed: func(blob uint32, err error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.failed[blob] = err
		},
	})
	return h
}

func (h *host) close() {
	h.node.Close()
	for _, b := range h.blobs {
		b.Close()
	}
	if err := h.store.Close(); err != nil {
		h.t.Error(err)
	}
}

// got is how many chunks came from a peer, or with from empty through Put.
func (h *host) got(from string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.from[from]
}

// open adds a blob of which nothing is announced.
func (h *host) open(id uint32) *chunk.Blob {
	h.t.Helper()
	b, err := h.store.Blob(chunk.Name(fmt.Sprintf("blob-%d", id)))
	if err != nil {
		h.t.Fatal(err)
	}
	h.blobs[id] = b
	h.node.Add(id, b)
	return b
}

// announce says all chunks of a blob up to one.
func (h *host) announce(id uint32, c content, upto int) {
	h.t.Helper()
	b := h.blobs[id]
	if _, err := b.Announce(b.Known(), c.sums[b.Known():upto]); err != nil {
		h.t.Fatal(err)
	}
	h.node.Announced(id)
	if upto == c.chunks() {
		if err := b.Finish(int64(len(c.data))); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *host) want(id uint32, c content) {
	h.t.Helper()
	h.open(id)
	h.announce(id, c, c.chunks())
}

func (h *host) put(id uint32, c content, i int) {
	h.t.Helper()
	if err := h.node.Put(id, i, c.chunk(i)); err != nil {
		h.t.Fatal(err)
	}
}

// fleet is a number of hosts with links between them.
type fleet struct {
	t     *testing.T
	ctx   context.Context
	hosts []*host
	links sync.WaitGroup
	mu    sync.Mutex
	ended []error
}

// newFleet makes hosts. The fleet's Close is the test's to call, inside of its bubble.
func newFleet(t *testing.T, n int) *fleet {
	t.Helper()
	f := &fleet{t: t, ctx: t.Context()}
	for i := range n {
		f.hosts = append(f.hosts, newHost(t, fmt.Sprintf("host-%d", i)))
	}
	return f
}

func (f *fleet) close() {
	for _, h := range f.hosts {
		h.node.Close()
	}
	f.links.Wait()
	for _, h := range f.hosts {
		h.close()
	}
}

// link joins two hosts; wrap, which may be nil, comes in between at the end of a.
func (f *fleet) link(a, b *host, wrap func(net.Conn) net.Conn) {
	x, y := net.Pipe()
	if wrap != nil {
		x = wrap(x)
	}
	f.links.Go(func() { f.note(a.node.Link(f.ctx, b.name, x)) })
	f.links.Go(func() { f.note(b.node.Link(f.ctx, a.name, y)) })
}

func (f *fleet) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = append(f.ended, err)
}

// rings joins the hosts as the controller does: all with all up to five, else in two random rings.
func (f *fleet) rings(wrap func(net.Conn) net.Conn) {
	n := len(f.hosts)
	if n <= 5 {
		for i := range n {
			for j := range i {
				f.link(f.hosts[i], f.hosts[j], wrap)
			}
		}
		return
	}
	for range 2 {
		ring := rand.Perm(n)
		for i, at := range ring {
			f.link(f.hosts[at], f.hosts[ring[(i+1)%n]], wrap)
		}
	}
}

// complete waits until hosts have all of a blob, and checks it.
func (f *fleet) complete(id uint32, c content, hosts ...*host) {
	f.t.Helper()
	ctx, stop := context.WithTimeout(f.ctx, 5*time.Minute)
	defer stop()
	for _, h := range hosts {
		if err := h.blobs[id].Wait(ctx); err != nil {
			f.t.Fatalf("%s has %d of %d chunks: %v", h.name, h.blobs[id].Count(), c.chunks(), err)
		}
		for i := range c.chunks() {
			got, err := h.blobs[id].Get(i, nil)
			if err != nil || sha256.Sum256(got) != c.sums[i] {
				f.t.Fatalf("%s: chunk %d: %d bytes, %v", h.name, i, len(got), err)
			}
		}
	}
}
