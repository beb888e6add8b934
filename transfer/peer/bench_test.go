package peer

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"ship/transfer/chunk"
)

// BenchmarkGive: one host gives another a blob over a unix socket. It is what both ends cost together, disk and digests
// included.
func BenchmarkGive(b *testing.B) {
	c := newContent(1, 64*chunk.Size)
	stores := make([]*chunk.Store, 2)
	for i := range stores {
		s, err := chunk.Open(b.TempDir(), 1<<30)
		if err != nil {
			b.Fatal(err)
		}
		stores[i] = s
	}
	open := func(s *chunk.Store, name string) *chunk.Blob {
		blob, err := s.Blob(chunk.Name(name))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := blob.Announce(0, c.sums); err != nil {
			b.Fatal(err)
		}
		if err := blob.Finish(int64(len(c.data))); err != nil {
			b.Fatal(err)
		}
		return blob
	}
	whole := open(stores[0], "whole")
	defer whole.Close()
	for i := range c.chunks() {
		if _, err := whole.Put(i, c.chunk(i)); err != nil {
			b.Fatal(err)
		}
	}
	l, err := net.Listen("unix", filepath.Join(b.TempDir(), "s"))
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.SetBytes(int64(len(c.data)))
	b.ReportAllocs()
	round := 0
	for b.Loop() {
		round++
		blob := open(stores[1], fmt.Sprint(round))
		give(b, l, whole, blob)
		blob.Remove()
	}
}

func give(b *testing.B, l net.Listener, whole, blob *chunk.Blob) {
	out, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	giver, taker := New(Options{}), New(Options{})
	giver.Add(1, whole)
	taker.Add(1, blob)
	ctx, stop := context.WithCancel(b.Context())
	var links sync.WaitGroup
	links.Go(func() { _ = giver.Link(ctx, "taker", out) }) // ends when all is there
	links.Go(func() { _ = taker.Link(ctx, "giver", in) })
	if err := blob.Wait(b.Context()); err != nil {
		b.Fatal(err)
	}
	stop()
	links.Wait()
}
