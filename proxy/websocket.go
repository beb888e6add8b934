package proxy

import (
	"bufio"
	"encoding/binary"
	"net"
	"net/http"
	"sync"
	"time"
)

// Hijack hands the connection to an upgraded protocol, and keeps the means to end it properly at the drain deadline.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil || w.target == nil {
		return c, rw, err
	}
	s := &socket{Conn: c, target: w.target, x: w.x, done: make(chan struct{})}
	w.target.sockets.Add(1)
	go s.endAtCut()
	return s, rw, nil
}

// socket is a client's upgraded connection. What the target sends through it is followed from frame to frame, so that a
// close frame of ours never lands within another one.
type socket struct {
	net.Conn
	target *upstream
	x      *exchange
	done   chan struct{}
	once   sync.Once

	mu     sync.Mutex
	frames frameTracker
	ended  bool
}

// closeGoingAway is a WebSocket close frame with status 1001 (RFC 6455, 7.4.1).
var closeGoingAway = [4]byte{0x88, 0x02, 0x03, 0xe9}

const closeTimeout = time.Second // for a client that reads slowly to take the close frame

func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return 0, net.ErrClosed
	}
	n, err := s.Conn.Write(p)
	s.x.bytes += int64(n)
	s.frames.advance(p[:n])
	return n, err
}

func (s *socket) endAtCut() {
	select {
	case <-s.done:
		return
	case <-s.target.cut:
	}
	// A write that is stuck holds the lock: the deadline gets it out.
	_ = s.Conn.SetWriteDeadline(time.Now().Add(closeTimeout))
	s.mu.Lock()
	if s.frames.between() {
		_, _ = s.Conn.Write(closeGoingAway[:]) // who is gone needs no good-bye
	}
	s.ended = true
	s.mu.Unlock()
	_ = s.Conn.Close()
}

func (s *socket) Close() error {
	s.once.Do(func() {
		close(s.done)
		s.target.sockets.Add(-1)
	})
	return s.Conn.Close()
}

// frameTracker knows whether a byte stream of WebSocket frames is between two of them.
type frameTracker struct {
	head [14]byte // of the frame that begins
	have int
	left uint64 // bytes of the frame's payload
}

func (f *frameTracker) between() bool { return f.have == 0 && f.left == 0 }

// advance takes in what was written.
func (f *frameTracker) advance(p []byte) {
	for len(p) > 0 {
		if f.left > 0 {
			n := min(uint64(len(p)), f.left)
			f.left -= n
			p = p[n:]
			continue
		}
		f.head[f.have] = p[0]
		f.have++
		p = p[1:]
		if n, ok := f.payload(); ok {
			f.have, f.left = 0, n
		}
	}
}

// payload is the length that a complete header tells.
func (f *frameTracker) payload() (n uint64, complete bool) {
	if f.have < 2 {
		return 0, false
	}
	need := 2
	n = uint64(f.head[1] & 0x7f)
	switch n {
	case 126:
		need += 2
	case 127:
		need += 8
	}
	masked := f.head[1]&0x80 != 0
	if masked {
		need += 4
	}
	if f.have < need {
		return 0, false
	}
	switch n {
	case 126:
		n = uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		n = binary.BigEndian.Uint64(f.head[2:])
	}
	return n, true
}
