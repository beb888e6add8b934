package swarm

import (
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	// silentMost is for how many seconds a helper may say nothing and take nothing. It answers a ping each second, unless its
	// process is stopped or its host hangs; it gives up on us after the same time.
	silentMost = 30
	// makerPatience is how long a member may go without telling of one more chunk of the blobs it makes.
	makerPatience = 2 * time.Minute
)

var errSilent = errors.New("it said nothing")

// tooSilent counts seconds, called once in each. It counts them, instead of looking at the clock, so that sleep of this
// machine is not taken for silence of the other.
func (m *Member) tooSilent() bool {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	m.silent++
	return m.silent > silentMost
}

// alive is a data channel of a member: what it takes shows that the host lives, also on a line so slow that the answer to
// a ping takes long.
type alive struct {
	net.Conn
	m *Member
}

// aliveStep is how many bytes are written at a time: few enough that they go through a slow line within silentMost.
const aliveStep = 32 << 10

func (a alive) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = a.Conn.Write(p[n:min(n+aliveStep, len(p))])
		n += k
		a.m.swarm.mu.Lock()
		a.m.silent = 0
		a.m.swarm.mu.Unlock()
	}
	return n, err
}

// stalled fails a blob whose maker lives, and makes nothing.
func (s *Swarm) stalled(b *blob, now time.Time) {
	if b.maker == nil || b.size >= 0 {
		return
	}
	last := b.maker.produced
	if b.asked.After(last) {
		last = b.asked
	}
	if now.Sub(last) > makerPatience {
		s.failLocked(b, fmt.Errorf("not one more chunk within %s", makerPatience))
	}
}
