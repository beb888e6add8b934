package peer

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"testing/synctest"

	"ship/transfer/chunk"
)

// Each chunk is put once, at one host; all get all.
func TestSpread(t *testing.T) {
	for _, n := range []int{2, 5, 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := newContent(1, 12*chunk.Size+1234)
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
