package h1

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// bufferSize is what is read at once. Only a connection with a request on it has a buffer.
const bufferSize = 32 << 10

// conn is a connection to the target.
type conn struct {
	net.Conn
	client *Client
	raw    syscall.RawConn       // nil: it cannot be looked at
	look   func(fd uintptr) bool // peeks, into silent
	silent bool                  // nothing to read, and not ended
	since  time.Time             // when it was kept
	in     *bufio.Reader         // while a request is on it
	lines  []byte                // of the head that is read
	budget int                   // bytes that the heads of this answer may still have
	method string                // of the request on it
	stop   func() bool           // takes back that the request's context closes it
}

var buffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, bufferSize) }}

// errNoAnswer is a connection that ended before the first byte of an answer.
var errNoAnswer = errors.New("no answer")

func newConn(c *Client, nc net.Conn) *conn {
	cn := &conn{Conn: nc, client: c}
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			cn.raw, cn.look = raw, cn.peek
		}
	}
	cn.limit()
	return cn
}

// limit gives the target its time from now on.
func (cn *conn) limit() {
	if t := cn.client.ResponseTimeout; t > 0 {
		_ = cn.SetDeadline(time.Now().Add(t)) // fails on a closed connection: so does the write
	}
}

// quiet readies a kept connection for a request, and tells whether it still waits for one. A target that ended it, or
// that speaks unasked (a 408, say), has closed its end: what it said is no answer to anything.
func (cn *conn) quiet() bool {
	cn.limit()
	if cn.raw == nil {
		return true
	}
	cn.silent = false
	return cn.raw.Read(cn.look) == nil && cn.silent
}

func (cn *conn) peek(fd uintptr) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	cn.silent = errors.Is(err, syscall.EAGAIN)
	return true
}

// ask sends r and reads the head of its answer.
func (cn *conn) ask(r *http.Request) (*http.Response, error) {
	cn.in = buffers.Get().(*bufio.Reader)
	cn.in.Reset(cn.Conn)
	cn.method, cn.budget = r.Method, cn.client.MaxHead
	cn.stop = context.AfterFunc(r.Context(), func() { _ = cn.Conn.Close() })
	resp, err := cn.exchange(r)
	if err != nil {
		cn.stop()
		cn.free()
		return nil, err
	}
	return resp, nil
}

func (cn *conn) exchange(r *http.Request) (*http.Response, error) {
	var err error
	if cn.lines, err = appendRequest(cn.lines[:0], r); err != nil {
		return nil, err
	}
	if _, err := cn.Write(cn.lines); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	if _, err := cn.in.Peek(1); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	for {
		if err := cn.readLines(); err != nil {
			return nil, fmt.Errorf("the answer's head: %w", whole(err))
		}
		h, err := parseHead(string(cn.lines))
		if err != nil {
			return nil, fmt.Errorf("the answer's head: %w", err)
		}
		if h.status == http.StatusSwitchingProtocols {
			return nil, errors.New("the target switched the protocol unasked")
		}
		if h.status >= 200 {
			return cn.answer(r, h)
		}
		if tell := cn.client.Interim; tell != nil {
			if err := tell(r, h.status, h.header); err != nil {
				return nil, err
			}
		}
	}
}

// whole says of an end within an answer that it is one.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// free gives the buffer back.
func (cn *conn) free() {
	cn.in.Reset(nil)
	buffers.Put(cn.in)
	cn.in = nil
	if cap(cn.lines) > 4<<10 { // a rare one: not worth to be kept with the connection
		cn.lines = nil
	}
}

// done ends the exchange: the connection is kept if the next answer will be at its very beginning.
func (cn *conn) done(reusable bool) {
	reusable = cn.stop() && reusable && cn.in.Buffered() == 0
	cn.free()
	if reusable {
		cn.client.put(cn)
		return
	}
	_ = cn.Conn.Close() // nothing was written that could be lost
}
