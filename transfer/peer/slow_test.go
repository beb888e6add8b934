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

// Of two peers that ask for the same chunk one gets it, and the other when the first one has it or takes too long. Who
// cancels meanwhile costs nothing.
func TestOnePeerAtATime(t *testing.T) {
	c := newContent(1, 2*chunk.Size)
	k := key{1, 0}
	cases := map[string]func(first, second *fake){
		"the first has it":         func(first, _ *fake) { first.say(frame{kindHave, keyFrame(kindHave, k).payload}) },
		"the first is gone":        func(first, _ *fake) { first.raw.Close() },
		"the first takes too long": func(_, _ *fake) { time.Sleep(firstLate / 2) },
		"the second cancels":       func(_, second *fake) { second.say(keyFrame(kindCancel, k)) },
		"the second asks another":  func(_, second *fake) { second.say(keyFrame(kindRequest, key{1, 1})) },
	}
	for name, then := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 1)
				defer f.close()
				h := f.hosts[0]
				h.want(1, c)
				h.put(1, c, 0)
				h.put(1, c, 1)
				var fakes []*fake
				for _, name := range []string{"first", "second"} {
					p, _ := f.newFake(h, name)
					defer p.raw.Close()
					go p.serve(nil)
					p.say(helloFrame(), keyFrame(kindRequest, k))
					synctest.Wait()
					fakes = append(fakes, p)
				}
				if one, two := fakes[0].chunks(), fakes[1].chunks(); one != 1 || two != 0 {
					t.Fatalf("the first has got %d, the second %d", one, two)
				}
				then(fakes[0], fakes[1])
				synctest.Wait()
				want := 1
				if name == "the second cancels" {
					want = 0
					time.Sleep(time.Second)
				}
				if n := fakes[1].chunks(); n != want {
					t.Errorf("the second has got %d, expected %d", n, want)
				}
			})
		})
	}
}
