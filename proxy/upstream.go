package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"ship/proxy/h1"
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
	badge  string            // its name for clients: see stick
	h2c    bool              // reused is for all: its connections carry many requests at once
	plain  http.RoundTripper // keeps connections; only for what [h1.Plain] tells of
	reused http.RoundTripper // keeps connections; only for requests that may be sent twice
	fresh  http.RoundTripper // a connection for each request
	close  func()            // closes idle connections

	inFlight atomic.Int64 // requests, upgraded connections included
	sockets  atomic.Int64 // upgraded connections
	leaving  atomic.Bool  // no longer active: takes no request
	watched

	held  atomic.Int64  // requests that wait for it to take connections
	hold  time.Duration // how long requests wait for a target that refuses connections
	since atomic.Int64  // when it began to refuse them, in Unix nanoseconds; 0 = it does not

	gone context.Context // ends when it leaves: what is being dialled then is for another target
	away context.CancelFunc

	life context.Context // not of one call: ends at the drain deadline, and with it what is in flight
	end  context.CancelFunc
}

func newUpstream(life context.Context, t Target, s Service, hold time.Duration) *upstream {
	d := &net.Dialer{Timeout: dialTimeout}
	u := &upstream{Target: t, badge: badge(s.Name, t), hold: hold, watched: newWatched()}
	u.life, u.end = context.WithCancel(life)
	u.gone, u.away = context.WithCancel(u.life)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		// A container that has died may swallow connections for seconds instead of refusing them.
		if !u.leaving.Load() {
			defer context.AfterFunc(u.gone, stop)()
		}
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
	if u.h2c = s.Speaks == SpeaksH2C; u.h2c {
		reused.Protocols = new(http.Protocols)
		reused.Protocols.SetUnencryptedHTTP2(true)
	}
	fresh := reused.Clone()
	fresh.DisableKeepAlives = true
	plain := &h1.Client{
		Dial:            func(ctx context.Context) (net.Conn, error) { return dial(ctx, "tcp", "") },
		ResponseTimeout: time.Duration(s.ResponseTimeout), IdleTimeout: idleTimeout, MaxIdle: maxIdle, MaxHead: maxHeaderBytes, Interim: interim,
	}
	u.plain, u.reused, u.fresh = plain, reused, fresh
	u.close = func() { plain.CloseIdleConnections(); reused.CloseIdleConnections() }
	return u
}

// refused notes that the target does not take connections, and tells whether it is worth to try on.
func (u *upstream) refused() bool {
	u.hint()
	now := time.Now().UnixNano()
	u.since.CompareAndSwap(0, now)
	return now-u.since.Load() < int64(u.hold)
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
	if u.leaving.Load() {
		u.inFlight.Add(-1)
		return false
	}
	return true
}

func (u *upstream) release() { u.inFlight.Add(-1) }

// leave closes the door: requests in flight stay, no other comes.
func (u *upstream) leave() {
	u.leaving.Store(true)
	u.away()
	u.close()
}

// drain waits until nothing is in flight with any of them; at ctx's deadline it ends what still is, and gives that a
// moment. When ctx is cancelled, it only stops waiting.
func drain(ctx context.Context, all []*upstream) (Drained, error) {
	if wait(ctx, all) {
		return Drained{}, nil
	}
	left := inFlight(all)
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return left, ctx.Err()
	}
	for _, u := range all {
		u.end()
	}
	moment, stop := context.WithTimeout(context.WithoutCancel(ctx), 2*closeTimeout) // its deadline has just passed
	defer stop()
	wait(moment, all)
	return left, nil
}

func wait(ctx context.Context, all []*upstream) (empty bool) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for inFlight(all).InFlight > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func inFlight(all []*upstream) (d Drained) {
	for _, u := range all {
		d.InFlight += int(u.inFlight.Load())
		d.WebSockets += int(u.sockets.Load())
	}
	return d
}

// Drained is what was still in flight at the drain deadline: zero if all ended by itself.
type Drained struct {
	InFlight   int `json:"in_flight"`
	WebSockets int `json:"web_sockets"` // of those
}
