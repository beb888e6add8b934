package sshx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Conn runs a command and returns its stdin and stdout as one connection. ctx is for the start only, as with a dialer;
// the command ends with Close, which does not wait: stdin closes at once, the channel after the grace.
//
// The connection has CloseWrite, which ends the command's stdin. When the command has ended, Read returns io.EOF if its
// status was 0 and an *ExitError with its last words on stderr if not; an error that wraps ErrLinkLost if it is the
// connection that ended. A Write returns when the bytes are on their way, not when they arrived.
func (c *Client) Conn(ctx context.Context, cmd Command) (net.Conn, error) {
	k, err := c.start(ctx, cmd)
	if err != nil {
		return nil, err
	}
	return k, nil
}

// conn is our user's end of a session.
type conn struct {
	s            *session
	in, out      net.Conn
	once         sync.Once
	closed, half atomic.Bool
}

func (k *conn) Read(p []byte) (int, error) {
	n, err := k.out.Read(p)
	switch {
	case err == nil || n > 0 && err == io.EOF:
		return n, nil
	case k.closed.Load():
		return n, net.ErrClosed
	case err == io.EOF:
		select {
		case <-k.s.over:
		case <-k.s.leave: // the other side may never end it
			return n, net.ErrClosed
		}
		if k.s.err != nil {
			return n, k.s.err
		}
	}
	return n, err
}

func (k *conn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil // a pipe would wait for a reader
	}
	n, err := k.in.Write(p)
	if !errors.Is(err, io.ErrClosedPipe) {
		return n, err
	}
	if k.closed.Load() || k.half.Load() {
		return n, net.ErrClosed
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-k.s.exited:
		if err := k.s.result(); err != nil {
			return n, err
		}
	case <-late.C:
	}
	return n, fmt.Errorf("%s: it has ended: %w", k.s.name, io.ErrClosedPipe)
}

// CloseWrite ends the command's stdin.
func (k *conn) CloseWrite() error {
	k.half.Store(true)
	return k.in.Close()
}

// Close lets go of the command. Reads and writes under way fail at once.
func (k *conn) Close() error {
	k.once.Do(func() {
		k.closed.Store(true)
		k.in.Close()
		k.out.Close()
		k.s.end()
	})
	return nil
}

func (k *conn) LocalAddr() net.Addr  { return place("ship") }
func (k *conn) RemoteAddr() net.Addr { return place(k.s.client.host) }

func (k *conn) SetDeadline(t time.Time) error {
	return errors.Join(k.SetReadDeadline(t), k.SetWriteDeadline(t))
}
func (k *conn) SetReadDeadline(t time.Time) error  { return k.out.SetReadDeadline(t) }
func (k *conn) SetWriteDeadline(t time.Time) error { return k.in.SetWriteDeadline(t) }

// place is an end of a Conn.
type place string

func (place) Network() string  { return "ssh" }
func (p place) String() string { return string(p) }
