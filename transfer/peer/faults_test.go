package peer

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ship/transfer/chunk"
)

// A peer that sends wrong bytes is named and not spoken to again; its chunks come from others.
func TestLiar(t *testing.T) {
	c := newContent(1, 8*chunk.Size)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		defer f.close()
		h, honest := f.hosts[0], f.hosts[1]
		h.want(1, c)
		honest.want(1, c)
		p, ended := f.newFake(h, "li\x1bar")
		go p.serve(func(k key) { p.give(k, c.chunk((k.index+1)%c.chunks())) })
		p.offer(1, c.chunks())
		err := <-ended
		var bad *chunk.BadError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), "peer li?ar: chunk") {
			t.Fatalf("the link ended with: %v", err)
		}
		if h.blobs[1].Count() > 0 {
			t.Fatal("wrong bytes were stored")
		}
		_, again := f.newFake(h, "li\x1bar")
		if err := <-again; !errors.As(err, &bad) {
			t.Errorf("the second link ended with: %v", err)
		}
		f.link(h, honest, nil)
		for i := range c.chunks() {
			honest.put(1, c, i)
		}
		f.complete(1, c, h)
	})
}

// Chunks asked of a peer that says nothing more come from others, and the link ends.
func TestSilentPeer(t *testing.T) {
	c := newContent(1, 8*chunk.Size)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		defer f.close()
		h, other := f.hosts[0], f.hosts[1]
		h.want(1, c)
		other.want(1, c)
		p, ended := f.newFake(h, "silent")
		go p.serve(nil)
		p.offer(1, c.chunks())
		synctest.Wait()
		if n := p.requests(); n != inFlight {
			t.Fatalf("%d requests at once, expected %d", n, inFlight)
		}
		f.link(h, other, nil)
		for i := range c.chunks() {
			other.put(1, c, i)
		}
		start := time.Now()
		f.complete(1, c, h)
		if took := time.Since(start); took > deaf/2 {
			t.Errorf("complete after %s", took)
		}
		if err := <-ended; !strings.Contains(err.Error(), "peer silent: it owes 4 chunks and was silent") {
			t.Errorf("the link ended with: %v", err)
		}
		if took := time.Since(start); took > deaf+time.Second {
			t.Errorf("the link ended after %s", took)
		}
	})
}

// A peer that breathes but never answers keeps its link, and nobody waits for it.
func TestStalledPeer(t *testing.T) {
	c := newContent(1, 8*chunk.Size)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		defer f.close()
		h, other := f.hosts[0], f.hosts[1]
		h.want(1, c)
		other.want(1, c)
		p, ended := f.newFake(h, "stalled")
		go p.serve(nil)
		p.offer(1, c.chunks())
		synctest.Wait()
		f.link(h, other, nil)
		for i := range c.chunks() {
			other.put(1, c, i)
		}
		f.complete(1, c, h)
		for range 20 {
			time.Sleep(pingAfter)
			p.say(frame{kind: kindPing})
		}
		select {
		case err := <-ended:
			t.Errorf("the link ended with: %v", err)
		default:
		}
		p.raw.Close()
		if err := <-ended; !strings.HasPrefix(err.Error(), "peer stalled: ") {
			t.Errorf("the link ended with: %v", err)
		}
	})
}

// An idle link lives; one whose other end is gone does not.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		defer f.close()
		f.link(f.hosts[0], f.hosts[1], nil)
		time.Sleep(time.Hour)
		if len(f.ended) > 0 {
			t.Fatalf("an idle link ended: %v", f.ended)
		}
		p, ended := f.newFake(f.hosts[0], "gone")
		go p.serve(nil)
		p.say(helloFrame())
		if err := <-ended; !strings.Contains(err.Error(), "it was silent for 30s") {
			t.Errorf("the link ended with: %v", err)
		}
		deafened, ended := f.newFake(f.hosts[0], "deaf") // reads nothing
		var pings sync.WaitGroup
		pings.Go(func() {
			for said := deafened.say(helloFrame()); said; said = deafened.say(frame{kind: kindPing}) {
				time.Sleep(pingAfter)
			}
		})
		if err := <-ended; !strings.Contains(err.Error(), "it has read nothing for 30s") {
			t.Errorf("the link ended with: %v", err)
		}
		pings.Wait()
	})
}

// A host that dies takes with it only what nobody else had.
func TestHostDies(t *testing.T) {
	c := newContent(1, 20*chunk.Size)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 5)
		defer f.close()
		dead, rest := f.hosts[0], f.hosts[1:]
		f.rings(at(50 << 20))
		for _, h := range f.hosts {
			h.want(1, c)
		}
		for i := range c.chunks() {
			f.hosts[i%5].put(1, c, i)
		}
		time.Sleep(40 * time.Millisecond)
		dead.node.Close()
		for i := range c.chunks() {
			lost := true
			for _, h := range rest {
				lost = lost && !h.blobs[1].Has(i)
			}
			if lost {
				rest[i%4].put(1, c, i)
			}
		}
		f.complete(1, c, rest...)
	})
}

// A peer that gave away what it had says so when asked, and is not asked again.
func TestBlobGone(t *testing.T) {
	c := newContent(1, 6*chunk.Size)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 3)
		defer f.close()
		h, gone, other := f.hosts[0], f.hosts[1], f.hosts[2]
		h.open(1)
		f.link(h, gone, nil)
		for _, x := range f.hosts[1:] {
			x.want(1, c)
			for i := range c.chunks() {
				x.put(1, c, i)
			}
		}
		synctest.Wait()
		gone.blobs[1].Remove()
		h.announce(1, c, c.chunks())
		synctest.Wait()
		if n := h.blobs[1].Count(); n > 0 {
			t.Fatalf("%d chunks of a removed blob came", n)
		}
		f.link(h, other, nil)
		f.complete(1, c, h)
	})
}

// A blob that is dropped or closed while chunks of it are on their way does no harm.
func TestBlobDropped(t *testing.T) {
	c, d := newContent(1, 20*chunk.Size), newContent(2, 5*chunk.Size)
	for name, end := range map[string]func(h *host){
		"drop":   func(h *host) { h.node.Drop(1) },
		"close":  func(h *host) { h.blobs[1].Close() },
		"remove": func(h *host) { h.blobs[1].Remove() },
		"replace": func(h *host) {
			h.blobs[1].Remove()
			h.want(1, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 2)
				defer f.close()
				h, other := f.hosts[0], f.hosts[1]
				f.link(h, other, at(50<<20))
				for _, x := range f.hosts {
					x.want(1, c)
					x.want(2, d)
				}
				for i := range c.chunks() {
					other.put(1, c, i)
				}
				time.Sleep(100 * time.Millisecond)
				end(h)
				for i := range d.chunks() {
					other.put(2, d, i)
				}
				f.complete(2, d, h)
				if name == "replace" {
					f.complete(1, c, h)
				}
				if len(f.ended) > 0 {
					t.Errorf("a link ended: %v", f.ended)
				}
			})
		})
	}
}
