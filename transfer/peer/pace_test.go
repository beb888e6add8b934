package peer

import (
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ship/transfer/chunk"
)

// line is what a host can send in a second, whoever it sends to.
type line struct {
	rate int

	mu   sync.Mutex
	free time.Time
}

// take waits until so many bytes have gone through.
func (l *line) take(n int) {
	l.mu.Lock()
	l.free = maxTime(l.free, time.Now()).Add(time.Duration(n) * time.Second / time.Duration(l.rate))
	wait := time.Until(l.free)
	l.mu.Unlock()
	time.Sleep(wait)
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// via sends through a host's line.
type via struct {
	net.Conn
	out *line
}

func (v via) Write(p []byte) (int, error) {
	v.out.take(len(p))
	return v.Conn.Write(p)
}

// The controller's line is what a transfer takes as long as: the hosts keep up with it, also when one of them is slow.
func TestKeepsUp(t *testing.T) {
	const n, uplink, fast = 8, 12 << 20, 120 << 20
	for name, slow := range map[string]int{"all fast": fast, "one slow": fast * 3 / 100} {
		t.Run(name, func(t *testing.T) {
			c := newContent(1, 24*chunk.Size)
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, n)
				defer f.close()
				lines := make([]*line, n)
				for i, h := range f.hosts {
					lines[i] = &line{rate: fast}
					h.want(1, c)
				}
				lines[0].rate = slow
				for _, step := range []int{1, 3} { // two rings
					for i := range n {
						f.join(i, (i+step)%n, lines)
					}
				}
				start := time.Now()
				controller := &line{rate: uplink}
				for i := range c.chunks() {
					controller.take(len(c.chunk(i)))
					f.hosts[i%n].put(1, c, i)
				}
				sent := time.Since(start)
				f.complete(1, c, f.hosts[1:]...)
				took := time.Since(start)
				t.Logf("sent after %s, complete after %s", sent, took)
				if took > sent+sent/4+time.Duration(3*chunk.Size)*time.Second/time.Duration(slow) {
					t.Errorf("complete %s after the last chunk was sent", took-sent)
				}
				f.complete(1, c, f.hosts[0])
			})
		})
	}
}

// join links two hosts over their lines.
func (f *fleet) join(a, b int, lines []*line) {
	x, y := net.Pipe()
	f.links.Go(func() { f.note(f.hosts[a].node.Link(f.ctx, f.hosts[b].name, via{x, lines[a]})) })
	f.links.Go(func() { f.note(f.hosts[b].node.Link(f.ctx, f.hosts[a].name, via{y, lines[b]})) })
}
