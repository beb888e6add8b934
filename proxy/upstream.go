package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Connections to targets. Dialling one on the same host takes microseconds, or it is not there.
const (
	dialTimeout = 2 * time.Second
	idleTimeout = 30 * time.Second
	maxIdle     = 512
)

// upstream is a target as requests meet it: claimed by each request for its whole life.
type upstream struct {
	Target
	service string

	reused http.RoundTripper // keeps connections; only for requests that may be sent twice
	fresh  http.RoundTripper // a connection for each request

	inFlight atomic.Int64 // requests, upgraded connections included
	sockets  atomic.Int64 // upgraded connections
	health   atomic.Pointer[Attempt]
	healthy  atomic.Bool
	draining atomic.Bool

	cut     chan struct{} // closed at the drain deadline: streams and upgraded connections end
	cutOnce sync.Once
	close   func()
}

func newUpstream(t Target, s Service) *upstream {
	d := &net.Dialer{Timeout: dialTimeout}
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, t.Address)
		if err != nil {
			return nil, &dialError{err}
		}
		return c, nil
	}
	reused := &http.Transport{
		DialContext: dial, DisableCompression: true, MaxIdleConns: maxIdle, MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout: idleTimeout, ResponseHeaderTimeout: time.Duration(s.ResponseTimeout),
		MaxResponseHeaderBytes: maxHeaderBytes, ExpectContinueTimeout: time.Second, WriteBufferSize: 32 << 10, ReadBufferSize: 32 << 10,
	}
	fresh := reused.Clone()
	fresh.DisableKeepAlives = true
	return &upstream{Target: t, service: s.Name, reused: reused, fresh: fresh, cut: make(chan struct{}),
		close: func() { reused.CloseIdleConnections() }}
}

// dialError is a connection that never came about: no byte of the request can have been seen.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

func isDialError(err error) bool {
	var d *dialError
	return errors.As(err, &d)
}

// claim counts a request in, unless the target no longer takes any: then the caller routes again.
func (u *upstream) claim() bool {
	u.inFlight.Add(1)
	// Counted first, checked second: a drain that saw zero has closed the door before it looked.
	if u.draining.Load() {
		u.inFlight.Add(-1)
		return false
	}
	return true
}

func (u *upstream) release() { u.inFlight.Add(-1) }

// drain waits until nothing is in flight; when ctx ends, it ends what still is, and gives that a moment.
func (u *upstream) drain(ctx context.Context) Drained {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for u.inFlight.Load() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			left := Drained{InFlight: int(u.inFlight.Load()), WebSockets: int(u.sockets.Load())}
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				u.cutOnce.Do(func() { close(u.cut) })
				time.Sleep(50 * time.Millisecond)
			}
			return left
		}
	}
	return Drained{}
}

// Drained is what was still in flight at the drain deadline: zero if all ended by itself.
type Drained struct {
	InFlight   int `json:"in_flight"`
	WebSockets int `json:"web_sockets"` // of those
}
