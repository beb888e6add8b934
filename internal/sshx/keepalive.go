package sshx

import (
	"fmt"
	"net"
	"time"
)

// unanswered is how many keepalives in a row may stay without an answer.
const unanswered = 3

// moved is how many bytes the other side has to acknowledge within an interval to count as alive: more than our own
// keepalive is, since the kernel of a frozen host acknowledges that.
const moved = 1 << 10

// keepAlive notices a host that is silent, and ends the connection.
func (c *Client) keepAlive(interval time.Duration) {
	root := c.hops[0].conn
	p := pulse{
		ping: func(answered chan<- struct{}) {
			c.wg.Go(func() {
				start := time.Now()
				// An error means that the connection is over, which watch hears from done.
				if _, _, err := c.ssh.SendRequest("keepalive@openssh.com", true, nil); err == nil {
					c.took(time.Since(start))
				}
				answered <- struct{}{}
			})
		},
		bytes: func() (received, acknowledged int64) {
			return root.read.Load(), root.written.Load() - unsent(root.Conn)
		},
		held: func() bool { return root.held.Load() && unsent(root.Conn) == 0 },
	}
	if p.watch(interval, c.done) {
		c.end(fmt.Errorf("%w: %s: no answer for %s", ErrLinkLost, c.host, unanswered*interval))
	}
}

// pulse is what tells whether the other side lives.
type pulse struct {
	ping  func(answered chan<- struct{})        // sends a keepalive; one value comes when it is answered, or at the end
	bytes func() (received, acknowledged int64) // so far
	held  func() bool                           // our own limit holds us back, and all that went before was acknowledged
}

// watch returns true when the other side is dead, false when done is closed. A keepalive counts as unanswered only if
// nothing else moved in its interval: behind megabytes of ours on a slow line, or behind a limit, an answer takes its
// time.
func (p pulse) watch(interval time.Duration, done <-chan struct{}) bool {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	answered := make(chan struct{}, 1)
	waiting, missed := true, 0
	p.ping(answered) // at once: the first answer tells how long a round trip is
	received, acknowledged := p.bytes()
	for {
		select {
		case <-done:
			return false
		case <-answered:
			waiting, missed = false, 0
			continue
		case <-tick.C:
		}
		r, a := p.bytes()
		if r > received || a > acknowledged+moved || p.held() {
			missed = 0
		} else if waiting {
			missed++
		}
		received, acknowledged = r, a
		if missed == unanswered {
			return true
		}
		if !waiting {
			waiting = true
			p.ping(answered)
		}
	}
}

// unsent is how many bytes of conn the other side has not acknowledged; 0 where that cannot be known.
func unsent(conn net.Conn) int64 {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	// A socket that is closed meanwhile has nothing unsent.
	_ = raw.Control(func(fd uintptr) { n = queued(fd) })
	return int64(n)
}
