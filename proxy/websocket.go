package proxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Hijack hands the connection to an upgraded protocol, and keeps the means to end it properly at the drain deadline.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil || w.x.target == nil {
		return c, rw, err
	}
	w.x.status = http.StatusSwitchingProtocols
	w.x.spare() // from here on, the cut is ours to make
	s := &socket{Conn: c, early: rw.Reader, x: w.x, frames: strings.EqualFold(w.x.upgrade, "websocket")}
	s.x.target.sockets.Add(1)
	s.stop = context.AfterFunc(s.x.target.life, s.end)
	return s, bufio.NewReadWriter(rw.Reader, bufio.NewWriter(greeter{s})), nil
}

// socket is a client's upgraded connection. What the target sends through it is followed from frame to frame, so that a
// close frame of ours never lands within another one.
type socket struct {
	net.Conn
	early  *bufio.Reader // what the client sent before it was answered; nil once that was read
	x      *exchange
	frames bool // WebSocket: there is a way to say good-bye
	stop   func() bool
	once   sync.Once

	mu     sync.Mutex
	open   bool // the head of the answer is through
	frame  frameTracker
	ending bool // at the next end of a frame
	ended  bool
}

// closeGoingAway is a WebSocket close frame with status 1001 (RFC 6455, 7.4.1).
var closeGoingAway = [4]byte{0x88, 0x02, 0x03, 0xe9}

const closeTimeout = time.Second // for a slow client to take the close frame, and to answer it

// greeter writes the head of the answer to a socket; frames follow it.
type greeter struct{ s *socket }

func (g greeter) Write(p []byte) (int, error) {
	g.s.mu.Lock()
	defer g.s.mu.Unlock()
	n, err := g.s.Conn.Write(p)
	g.s.open = bytes.HasSuffix(p[:n], []byte("\r\n\r\n"))
	g.s.sayGoodbye()
	return n, err
}

// Read gives what came together with the request first.
func (s *socket) Read(p []byte) (int, error) {
	if s.early != nil {
		if n := s.early.Buffered(); n > 0 {
			return s.early.Read(p[:min(n, len(p))])
		}
		s.early = nil
	}
	return s.Conn.Read(p)
}

func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for done := 0; done < len(p); {
		if s.ended { // the client is told the end: what the target still says is for nobody
			return len(p), nil
		}
		next := len(p)
		if s.ending {
			f := s.frame
			next = done + f.next(p[done:])
		}
		n, err := s.Conn.Write(p[done:next])
		s.x.bytes.Add(int64(n))
		if s.frames {
			s.frame.advance(p[done : done+n])
		}
		done += n
		if err != nil {
			return done, err
		}
		s.sayGoodbye()
	}
	return len(p), nil
}

// sayGoodbye sends the close frame when it is time, and no frame is half sent. Called with the lock.
func (s *socket) sayGoodbye() {
	if s.ended || !s.ending || !s.open || !s.frame.between() {
		return
	}
	s.ended = true
	_, _ = s.Conn.Write(closeGoingAway[:]) // who is gone needs no good-bye
	_ = closeWrite(s.Conn)                 // not more: a full close resets what the client has not read yet
}

// end is called at the cut. A client has a moment to answer the close frame; other protocols have nothing to say.
func (s *socket) end() {
	_ = s.Conn.SetWriteDeadline(time.Now().Add(closeTimeout)) // a stuck write has the lock: this gets it out
	if s.frames {
		s.mu.Lock()
		s.ending = true
		s.sayGoodbye()
		s.mu.Unlock()
		_ = s.Conn.SetReadDeadline(time.Now().Add(closeTimeout))
		time.Sleep(closeTimeout)
	}
	_ = s.Conn.Close()
	s.x.cancel()
}

// CloseWrite passes on that the target has said its last.
func (s *socket) CloseWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frames { // the target is gone; a client that does not notice must not stay for ever
		_ = s.Conn.SetReadDeadline(time.Now().Add(halfOpen))
	}
	return closeWrite(s.Conn)
}

const halfOpen = 30 * time.Second

func closeWrite(c net.Conn) error {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.Close()
}

func (s *socket) Close() error {
	s.once.Do(func() {
		s.stop()
		s.x.target.sockets.Add(-1)
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
		p = p[f.next(p):]
	}
}

// next takes in at most the rest of a frame, and returns how much that was.
func (f *frameTracker) next(p []byte) (n int) {
	for n < len(p) {
		if f.left > 0 {
			k := min(uint64(len(p)-n), f.left)
			f.left -= k
			n += int(k)
		} else {
			f.head[f.have] = p[n]
			f.have++
			n++
			if size, ok := f.payload(); ok {
				f.have, f.left = 0, size
			}
		}
		if f.between() {
			return n
		}
	}
	return n
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
