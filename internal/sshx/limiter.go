package sshx

import (
	"net"
	"sync"
	"time"
)

const (
	burstTime  = 50 * time.Millisecond // of unused rate is kept for later
	burstLeast = 16 << 10              // bytes that may always go at once

	pieceTime  = 20 * time.Millisecond // of the rate is what a connection gets before it is the next one's turn
	pieceLeast = 1400                  // bytes, about what a packet on the wire carries
	pieceMost  = 64 << 10

	packetLeast = 4 << 10 // bytes of a session in one SSH packet; below that the packet's own bytes count

	urgentSize = 1500        // bytes: keepalives, key exchanges, window adjustments and short requests are not longer
	urgentTime = time.Second // is how far urgent writes may be ahead of the rate

	urgentLeast = 4 << 10 // bytes a second of short writes are urgent on a connection, a login for one
	urgentShare = 16      // or this part of the rate
)

// Limiter is an upper limit of the bytes a second that connections send together, SSH's own included, TCP's headers
// not. Connections take turns in small pieces, so that each gets the same share. Short writes go before long ones and
// may be a second ahead of the rate: a line full of our own data still answers. A connection that has nothing but short
// writes takes turns as well. It is safe for concurrent use; a nil Limiter limits nothing.
type Limiter struct {
	rate  float64       // bytes a second
	burst time.Duration // of unused rate that is kept
	piece int           // bytes
	turn  chan struct{} // holds a value while a long write waits; the channel keeps the others in line

	mu   sync.Mutex
	next time.Time // when all that was sent so far is paid for
}

// NewLimiter returns a limit of so many bytes a second; nil, which is none, if that is not above 0.
func NewLimiter(bytesPerSecond int64) *Limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	l := &Limiter{rate: float64(bytesPerSecond), turn: make(chan struct{}, 1)}
	l.burst = max(burstTime, l.time(burstLeast))
	l.piece = int(min(max(l.rate*pieceTime.Seconds(), pieceLeast), pieceMost))
	return l
}

// packet is how many bytes to move at once where most is best without a limit: behind a big packet on a slow line, the
// other sessions of a connection wait for seconds.
func (l *Limiter) packet(most int) int {
	if l == nil {
		return most
	}
	return min(most, max(packetLeast, l.piece))
}

// time is how long n bytes take.
func (l *Limiter) time(n int) time.Duration {
	return time.Duration(float64(n) / l.rate * float64(time.Second))
}

// wait returns when n bytes of a write may go: nil, or net.ErrClosed once gone is closed.
func (l *Limiter) wait(n int, urgent bool, gone <-chan struct{}) error {
	ahead := urgentTime
	if !urgent {
		select {
		case l.turn <- struct{}{}:
			defer func() { <-l.turn }()
		case <-gone:
			return net.ErrClosed
		}
		ahead = 0
	}
	for {
		left := l.take(n, ahead)
		if left <= 0 {
			return nil
		}
		pause := time.NewTimer(left)
		select {
		case <-pause.C:
		case <-gone:
			pause.Stop()
			return net.ErrClosed
		}
	}
}

// take pays for n bytes, if no more than ahead is still to be paid for; else it returns for how long there is.
func (l *Limiter) take(n int, ahead time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if kept := now.Add(-l.burst); l.next.Before(kept) {
		l.next = kept
	}
	if left := l.next.Sub(now) - ahead; left > 0 {
		return left
	}
	l.next = l.next.Add(l.time(n))
	return 0
}
