package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Kind says what a frame's payload is. Each conversation has its own kinds.
type Kind byte

// MaxFrame is the longest payload, in bytes: one chunk and what names it.
const MaxFrame = 1<<20 + 64<<10

// headerSize: a kind, and the payload's length as big-endian uint32.
const headerSize = 5

// ErrFrame is wrapped by the error of a frame that breaks the rules.
var ErrFrame = errors.New("bad frame")

// Conn is one end of a conversation in frames. Send may be called at any time by several goroutines, Recv by one.
type Conn struct {
	sending sync.Mutex
	w       io.Writer
	r       *bufio.Reader
	buf     []byte
}

// NewConn talks over rw, whose closing is the caller's.
func NewConn(rw io.ReadWriter) *Conn {
	return &Conn{w: rw, r: bufio.NewReaderSize(rw, 64<<10)}
}

// Send writes one frame whose payload is parts, one after another.
func (c *Conn) Send(k Kind, parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n > MaxFrame {
		return fmt.Errorf("%w: %d bytes to send, at most %d", ErrFrame, n, MaxFrame)
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	head := make([]byte, headerSize, headerSize+min(n, 4<<10))
	head[0] = byte(k)
	binary.BigEndian.PutUint32(head[1:], uint32(n))
	if n <= 4<<10 { // one write, one packet
		for _, p := range parts {
			head = append(head, p...)
		}
		parts = nil
	}
	if _, err := c.w.Write(head); err != nil {
		return err
	}
	for _, p := range parts {
		if _, err := c.w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// Recv reads the next frame. The payload is valid until the next Recv. io.EOF only between frames.
func (c *Conn) Recv() (Kind, []byte, error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > MaxFrame {
		return 0, nil, fmt.Errorf("%w: a length of %d bytes, at most %d", ErrFrame, n, MaxFrame)
	}
	if cap(c.buf) < int(n) {
		c.buf = make([]byte, max(int(n), 4<<10))
	}
	c.buf = c.buf[:n]
	if _, err := io.ReadFull(c.r, c.buf); err != nil {
		return 0, nil, unexpected(err)
	}
	return Kind(head[0]), c.buf, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
