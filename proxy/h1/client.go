// Package h1 is an HTTP/1.1 client for one target, made for a proxy: a plain request takes one write and one read on the
// goroutine that asks, and no other goroutine sees it. net/http's Transport hands each request through two more.
//
// It sends requests that may be sent twice: [Plain] ones, without a body and without effect on the target. What it
// cannot do belongs to net/http. Its answers are those that net/http gives for the same bytes, or an error where a target
// leaves open where its answer ends.
package h1

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// Client keeps connections to one target. It is an [http.RoundTripper].
type Client struct {
	Dial            func(ctx context.Context) (net.Conn, error)
	ResponseTimeout time.Duration // from the request to the head of the answer; 0 = no limit
	IdleTimeout     time.Duration // how long a connection is kept without a request; 0 = for ever
	MaxIdle         int           // connections without a request
	MaxHead         int           // bytes of an answer's head, interim ones included

	// Interim is told of each answer that comes before the final one (RFC 9110, 15.2); nil = they are left out.
	Interim func(r *http.Request, status int, header http.Header) error

	mu    sync.Mutex
	idle  []*conn // the last one was used last
	sweep *time.Timer
}

// Plain tells whether r is a request for a Client: it has no body, changes nothing, and asks for no other protocol.
func Plain(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
	default:
		return false
	}
	return (r.Body == nil || r.Body == http.NoBody) && len(r.Trailer) == 0 && len(r.Header["Upgrade"]) == 0 && len(r.Header["Expect"]) == 0
}

// RoundTrip sends a plain request. On a kept connection that the target closed before it answered, the request is sent
// again on a new one. The answer's body has to be closed.
func (c *Client) RoundTrip(r *http.Request) (*http.Response, error) {
	if !Plain(r) {
		return nil, fmt.Errorf("h1: a %s with a body or an upgrade is none for this client", r.Method)
	}
	ctx := r.Context()
	for {
		cn, kept, err := c.take(ctx)
		if err != nil {
			return nil, err
		}
		resp, err := cn.ask(r)
		if err == nil {
			return resp, nil
		}
		cn.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		// No byte of an answer, and no time-out: the target had closed the connection, or did so without reading.
		if kept && errors.Is(err, errNoAnswer) && !errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		return nil, err
	}
}

// take returns the connection that was used last, or a new one.
func (c *Client) take(ctx context.Context) (cn *conn, kept bool, err error) {
	for {
		c.mu.Lock()
		if n := len(c.idle); n > 0 {
			cn, c.idle[n-1], c.idle = c.idle[n-1], nil, c.idle[:n-1]
		}
		c.mu.Unlock()
		if cn == nil {
			break
		}
		if cn.quiet() {
			return cn, true, nil
		}
		cn.Close() // the target ended it, or said something that nobody had asked for
		cn = nil
	}
	if err := ctx.Err(); err != nil {
		return nil, false, context.Cause(ctx)
	}
	nc, err := c.Dial(ctx)
	if err != nil {
		return nil, false, err
	}
	return newConn(c, nc), false, nil
}

// put keeps a connection for the next request.
func (c *Client) put(cn *conn) {
	cn.since = time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) >= c.MaxIdle {
		cn.Close()
		return
	}
	c.idle = append(c.idle, cn)
	if c.IdleTimeout > 0 && c.sweep == nil {
		c.sweep = time.AfterFunc(c.IdleTimeout, c.expire)
	}
}

// expire closes what was not used for long: those at the front.
func (c *Client) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := 0
	for old < len(c.idle) && time.Since(c.idle[old].since) >= c.IdleTimeout {
		c.idle[old].Close()
		old++
	}
	c.idle = append(c.idle[:0:0], c.idle[old:]...)
	c.sweep = nil
	if len(c.idle) > 0 {
		c.sweep = time.AfterFunc(c.IdleTimeout-time.Since(c.idle[0].since), c.expire)
	}
}

// CloseIdleConnections closes what is kept. Those in use are closed with their answers.
func (c *Client) CloseIdleConnections() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cn := range c.idle {
		cn.Close()
	}
	c.idle = nil
	if c.sweep != nil {
		c.sweep.Stop()
		c.sweep = nil
	}
}
