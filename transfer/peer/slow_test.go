package peer

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"ship/transfer/chunk"
)

// slowly is a line of so many bytes a second.
type slowly struct {
	net.Conn
	rate int
}

func (s slowly) Write(p []byte) (int, error) {
	time.Sleep(time.Duration(len(p)) * time.Second / time.Duration(s.rate))
	return s.Conn.Write(p)
}

func (s slowly) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	time.Sleep(time.Duration(n) * time.Second / time.Duration(s.rate))
	return n, err
}

func at(rate int) func(net.Conn) net.Conn {
	return func(c net.Conn) net.Conn { return slowly{c, rate} }
}

// What a slow host has is had from others; it is not left out.
func TestSlowHost(t *testing.T) {
	c := newContent(1, 30*chunk.Size)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 5)
		defer f.close()
		slow, rest := f.hosts[0], f.hosts[1:]
		for i, h := range f.hosts {
			for j := range i {
				rate := 100 << 20
				if j == 0 {
					rate = 1 << 20
				}
				f.link(h, f.hosts[j], at(rate))
			}
		}
		for _, h := range f.hosts {
			h.want(1, c)
		}
		for i := range c.chunks() {
			f.hosts[i%5].put(1, c, i)
		}
		start := time.Now()
		f.complete(1, c, rest...)
		// The slow host has put out six chunks, once, while its four links were each good for one in a second.
		if took := time.Since(start); took > 15*time.Second {
			t.Errorf("the others are complete after %s", took)
		}
		f.complete(1, c, slow)
	})
}

// A slow peer is asked for one chunk at a time while there are others, and still asked.
func TestSlowPeerIsStillAsked(t *testing.T) {
	c := newContent(1, 60*chunk.Size)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		defer f.close()
		h, other := f.hosts[0], f.hosts[1]
		h.want(1, c)
		other.want(1, c)
		for i := range 50 {
			other.put(1, c, i)
		}
		p, _ := f.newFake(h, "slow")
		answers := make(chan key, 100)
		go p.serve(func(k key) { answers <- k })
		go func() {
			for k := range answers {
				time.Sleep(2 * time.Second)
				p.give(k, c.chunk(k.index))
			}
		}()
		defer close(answers)
		f.link(h, other, at(20<<20))
		p.offer(1, c.chunks())
		f.complete(1, c, h) // the last ten only the slow one has
		if n := h.got("slow"); n < 10 || n > 25 {
			t.Errorf("%d chunks from the slow peer", n)
		}
	})
}
