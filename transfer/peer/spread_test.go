package peer

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ship/transfer/chunk"
)

// Each chunk is put once, at one host; all get all.
func TestSpread(t *testing.T) {
	for _, n := range []int{2, 5, 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := newContent(1, 7*chunk.Size+1234)
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, n)
				defer f.close()
				f.rings(nil)
				for _, h := range f.hosts {
					h.want(1, c)
				}
				for i := range c.chunks() {
					f.hosts[i%n].put(1, c, i)
				}
				f.complete(1, c, f.hosts...)
				put := 0
				for _, h := range f.hosts {
					put += h.got("")
				}
				if put != c.chunks() {
					t.Errorf("%d chunks were put, expected %d", put, c.chunks())
				}
			})
		})
	}
}

// counted counts what is sent and received.
type counted struct {
	net.Conn
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// Little is sent twice, while chunks arrive one after another and lines take their time.
func TestSpreadIsThrifty(t *testing.T) {
	c := newContent(1, 24*chunk.Size)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 6)
		defer f.close()
		var n atomic.Int64
		f.rings(func(c net.Conn) net.Conn { return slowly{counted{c, &n}, 100 << 20} })
		for _, h := range f.hosts {
			h.want(1, c)
		}
		for i := range c.chunks() {
			f.hosts[i%6].put(1, c, i)
			time.Sleep(20 * time.Millisecond)
		}
		f.complete(1, c, f.hosts...)
		if sent, need := n.Load(), int64(5*len(c.data)); sent > need*11/10 {
			t.Errorf("%d bytes went between hosts, %d were needed", sent, need)
		}
	})
}

// Who comes late, or comes to know late, gets all from its neighbours; who has something from before gives it.
func TestLateJoiner(t *testing.T) {
	c := newContent(3, 10*chunk.Size+1)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 4)
		defer f.close()
		early, linked, added, resumed := f.hosts[0], f.hosts[1], f.hosts[2], f.hosts[3]
		early.want(1, c)
		resumed.open(1)
		resumed.announce(1, c, c.chunks())
		resumed.put(1, c, 9)
		resumed.node.Drop(1)
		f.link(early, added, nil)
		f.link(early, resumed, nil)
		for i := range 9 {
			early.put(1, c, i)
		}
		synctest.Wait()
		if early.blobs[1].Count() != 9 {
			t.Fatalf("%d chunks are at the early one", early.blobs[1].Count())
		}
		resumed.node.Add(1, resumed.blobs[1])
		synctest.Wait()
		added.open(1)
		synctest.Wait()
		for _, upto := range []int{3, 4, c.chunks()} { // it hears of chunks that its neighbours have long had
			added.announce(1, c, upto)
			synctest.Wait()
			if n := added.blobs[1].Count(); n != upto && upto != c.chunks() {
				t.Errorf("%d chunks after %d were announced", n, upto)
			}
		}
		early.put(1, c, 10)
		linked.want(1, c)
		f.link(linked, early, nil)
		f.complete(1, c, f.hosts...)
		if n := early.got(resumed.name); n != 1 {
			t.Errorf("%d chunks came from an earlier run's, expected 1", n)
		}
	})
}

// Hosts keep and pass on only what they want.
func TestBlobsOfSome(t *testing.T) {
	c, d := newContent(4, 6*chunk.Size), newContent(5, 6*chunk.Size)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 4)
		defer f.close()
		f.rings(nil)
		for i, h := range f.hosts {
			h.want(1, c)
			if i%2 == 0 {
				h.want(2, d)
			}
		}
		for i := range c.chunks() {
			f.hosts[i%4].put(1, c, i)
			f.hosts[0].put(2, d, i)
		}
		f.complete(1, c, f.hosts...)
		f.complete(2, d, f.hosts[0], f.hosts[2])
		synctest.Wait()
		for _, h := range f.hosts {
			total := c.chunks()
			if _, wants := h.blobs[2]; wants {
				total += d.chunks()
			}
			got := h.got("")
			for _, other := range f.hosts {
				got += h.got(other.name)
			}
			if got != total {
				t.Errorf("%s has got %d chunks, expected %d", h.name, got, total)
			}
		}
		if err := f.hosts[1].node.Put(2, 0, d.chunk(0)); !errors.Is(err, chunk.ErrUnknown) {
			t.Errorf("put of a blob that is not wanted: %v", err)
		}
	})
}

func TestSpreadOverSockets(t *testing.T) {
	c := newContent(2, 20*chunk.Size)
	f := newFleet(t, 3)
	defer f.close()
	for i, a := range f.hosts {
		l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		for j := range i {
			out, err := net.Dial("unix", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			in, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			f.links.Go(func() { f.note(a.node.Link(t.Context(), f.hosts[j].name, in)) })
			f.links.Go(func() { f.note(f.hosts[j].node.Link(t.Context(), a.name, out)) })
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range f.hosts {
		h.want(1, c)
	}
	for i := range c.chunks() {
		f.hosts[i%2].put(1, c, i)
	}
	f.complete(1, c, f.hosts...)
}
