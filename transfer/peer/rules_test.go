package peer

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ship/transfer/chunk"
	"ship/transfer/wire"
)

func TestNodeCloses(t *testing.T) {
	c := newContent(1, 30*chunk.Size)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 3)
		defer f.close()
		f.rings(at(10 << 20))
		for _, h := range f.hosts {
			h.want(1, c)
		}
		for i := range c.chunks() {
			f.hosts[0].put(1, c, i)
		}
		time.Sleep(100 * time.Millisecond)
		ctx, stop := context.WithCancelCause(f.ctx)
		x, y := net.Pipe()
		defer y.Close()
		ended := make(chan error)
		go func() { ended <- f.hosts[1].node.Link(ctx, "x", x) }()
		synctest.Wait()
		enough := errors.New("enough")
		stop(enough)
		if err := <-ended; !errors.Is(err, enough) || !strings.Contains(err.Error(), "peer x: ") {
			t.Errorf("the link ended with: %v", err)
		}
		for _, h := range f.hosts {
			h.node.Close()
		}
		f.links.Wait()
		for _, err := range f.ended {
			if !strings.HasPrefix(err.Error(), "peer host-") {
				t.Errorf("a link ended with: %v", err)
			}
		}
		x, y = net.Pipe()
		if err := f.hosts[0].node.Link(f.ctx, "late", x); !errors.Is(err, ErrClosed) {
			t.Errorf("a link of a closed node: %v", err)
		}
		if _, err := y.Read(make([]byte, 1)); err == nil {
			t.Error("the connection is left open")
		}
	})
}

// Who breaks the rules is hung up on.
func TestRules(t *testing.T) {
	requests := []frame{helloFrame()}
	for i := range maxOwed + 2 {
		requests = append(requests, keyFrame(kindRequest, key{1, i}))
	}
	most := set{}
	most.add(chunk.MaxChunks - 1)
	var news []frame
	for blob := range uint32(10) {
		held := most
		f, _ := newsFrame(blob, held, new(set))
		news = append(news, f)
	}
	cases := map[string][]frame{
		"no hello":            {{kind: kindPing}},
		"two hellos":          {helloFrame(), helloFrame()},
		"another version":     {{kindHello, []byte{0, 0, 0, 99}}},
		"short hello":         {{kindHello, []byte{1}}},
		"unknown kind":        {helloFrame(), {kind: 99}},
		"short request":       {helloFrame(), {kindRequest, []byte{1}}},
		"long request":        {helloFrame(), {kindRequest, make([]byte, 9)}},
		"index out of bounds": {helloFrame(), keyFrame(kindRequest, key{1, chunk.MaxChunks})},
		"unasked chunk":       {helloFrame(), keyFrame(kindChunk, key{1, 0})},
		"unasked miss":        {helloFrame(), keyFrame(kindMiss, key{1, 0})},
		"odd news":            {helloFrame(), {kindHave, make([]byte, 7)}},
		"odd map":             {helloFrame(), {kindMap, make([]byte, 9)}},
		"map off its words":   {helloFrame(), {kindMap, append([]byte{0, 0, 0, 1, 0, 0, 0, 1}, make([]byte, 8)...)}},
		"map past the end":    {helloFrame(), {kindMap, append([]byte{0, 0, 0, 1, 0, 16, 0, 0}, make([]byte, 8)...)}},
		"too many requests":   requests,
		"too much news":       append([]frame{helloFrame()}, news...),
	}
	for name, frames := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 1)
				defer f.close()
				p, ended := f.newFake(f.hosts[0], "p")
				if name != "too many requests" { // which is only told if nobody takes the answers
					go p.serve(nil)
				} else {
					go func() { _, _, _ = p.conn.Recv() }()
				}
				p.say(frames...)
				if err := <-ended; !errors.Is(err, wire.ErrFrame) {
					t.Errorf("the link ended with: %v", err)
				}
			})
		})
	}
}
