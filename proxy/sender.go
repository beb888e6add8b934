package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"ship/proxy/h1"
)

const (
	holdPause = 50 * time.Millisecond // between two tries of a target that refuses connections
	maxHeld   = 512                   // requests that wait for one target: their tries must not eat the machine
)

// roundTripper sends a request to its target. While the target refuses connections, no byte of the request has been
// seen by anybody: a replica gets it, or it is held, and tried again, for the target may be on its way back, or another one take
// its place.
type roundTripper struct{ gate *gate }

func (t roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	x := exchangeOf(r.Context())
	var body *keepOpen
	if r.Body != nil && r.Body != http.NoBody {
		body = &keepOpen{ReadCloser: r.Body}
		r = r.WithContext(r.Context()) // a copy: the caller's is not ours to change
		r.Body = body
	}
	var tried []*upstream // that refused the connection
	for again := false; ; {
		u := x.target
		resp, err := u.via(r).RoundTrip(r)
		if err == nil || !isDialError(err) {
			u.since.Store(0)
			u.heard(resp, err)
			if again || !brokeOff(err) || !mayRepeat(r) || r.Context().Err() != nil {
				return resp, err
			}
			again = true // once: a request may be what its target dies of
			u.hint()
			t.gate.reroute(x, []*upstream{u})
			continue
		}
		if r.Context().Err() != nil || body.wasRead() {
			return nil, err
		}
		worth := u.refused()
		if tried = append(tried, u); t.gate.reroute(x, tried) {
			continue
		}
		if !worth || !u.wait(r.Context(), holdPause) {
			return nil, err
		}
		tried = tried[:0]
		t.gate.reroute(x, nil)
	}
}

// wait holds a request for a moment, unless too many are held already or ctx ends.
func (u *upstream) wait(ctx context.Context, pause time.Duration) bool {
	defer u.held.Add(-1)
	if u.held.Add(1) > maxHeld {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
		return true
	}
}

// via chooses the connection for a request.
func (u *upstream) via(r *http.Request) http.RoundTripper {
	if u.h2c { // who closes such a connection says which requests it has not seen, and those are sent again
		return u.reused
	}
	if h1.Plain(r) {
		return u.plain
	}
	if mayRepeat(r) {
		return u.reused
	}
	return u.fresh
}

// mayRepeat says whether a request that went out on a connection which the target was just closing may be sent again.
// net/http does so by itself for these; all others get a connection of their own, on which that cannot happen.
func mayRepeat(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return r.Body == nil || r.Body == http.NoBody
	}
	return false
}

// brokeOff tells whether the target died, or closed the connection, before the first byte of its answer. net/http sends such
// a request again by itself, if the connection was used before.
func brokeOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// keepOpen keeps a transport that could not connect from closing the client's body, which a second try needs.
type keepOpen struct {
	io.ReadCloser
	read atomic.Bool
}

func (k *keepOpen) Read(p []byte) (int, error) {
	k.read.Store(true)
	return k.ReadCloser.Read(p)
}

func (k *keepOpen) Close() error { return nil } // the server closes it

func (k *keepOpen) wasRead() bool { return k != nil && k.read.Load() }
