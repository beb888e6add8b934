package proxy

import (
	"net/http"
	"sync/atomic"
	"time"
)

// maxPaused bounds the requests of one service that wait for the end of a pause: each has a connection.
const maxPaused = 2048

// valve is a service's halt as requests meet it, and stays the same through all its releases.
type valve struct {
	now  atomic.Pointer[halted] // nil: open
	held atomic.Int64           // requests that wait
}

// halted is a halt, and its end.
type halted struct {
	*Halt
	ended chan struct{} // closed when it does not count any more
}

// set lets a halt count, or none. Who waits for the end of the one before goes on. Callers hold the manager's lock.
func (v *valve) set(h *Halt) {
	old := v.now.Load()
	switch {
	case old == nil && h == nil:
		return
	case old != nil && h != nil && old.Kind == h.Kind && old.Since.Equal(h.Since): // the same, read again
		return
	case h == nil:
		v.now.Store(nil)
	default:
		v.now.Store(&halted{h, make(chan struct{})})
	}
	if old != nil {
		close(old.ended)
	}
}

// load is the halt that counts now; nil = none.
func (v *valve) load() *halted {
	if v == nil { // a service that no manager has
		return nil
	}
	h := v.now.Load()
	if h == nil || h.over() {
		return nil
	}
	return h
}

// state is the same for people.
func (v *valve) state() *Halt {
	if h := v.load(); h != nil {
		return h.Halt
	}
	return nil
}

// open tells whether a request may go on to its target; otherwise it has been answered.
func (g *gate) open(w http.ResponseWriter, r *http.Request, x *exchange) bool {
	for {
		h := x.service.valve.load()
		switch {
		case h == nil:
			return true
		case h.Kind == Pause:
			if !g.await(w, r, x, h) {
				return false
			}
		default:
			text := h.Message
			if text == "" {
				text = "This is being worked on, and will be back soon."
			}
			writePage(w, r, http.StatusServiceUnavailable, text, seconds(time.Duration(h.RetryAfter)))
			return false
		}
	}
}

// await holds a request to the end of a pause, and routes it again then: there may have been a switch. No target has it
// meanwhile, so that nobody's drain waits for it. A client that goes away is noticed once its request's body, if it has
// one, has come; the time is bounded in any case.
func (g *gate) await(w http.ResponseWriter, r *http.Request, x *exchange, h *halted) bool {
	v := x.service.valve
	defer v.held.Add(-1)
	if v.held.Add(1) > maxPaused {
		writePage(w, r, http.StatusServiceUnavailable, "Too many requests wait already.", seconds(time.Until(h.Until)))
		return false
	}
	nobody := &upstream{Target: x.target.Target} // for the release at the end of the request
	nobody.claim()
	x.target.release()
	x.target = nobody
	timer := time.NewTimer(time.Until(h.Until))
	defer timer.Stop()
	select {
	case <-h.ended:
	case <-timer.C:
		writePage(w, r, http.StatusServiceUnavailable, "The service was paused, and did not come back in time.", 1)
		return false
	case <-r.Context().Done():
		x.status, x.failure = statusClientGone, r.Context().Err()
		panic(http.ErrAbortHandler)
	}
	if !g.route(x) {
		writePage(w, r, http.StatusNotFound, "There is nothing here.", 0)
		return false
	}
	if x.origin = x.service.origin(r); !x.service.admits(x.origin) {
		writePage(w, r, http.StatusForbidden, "This is not open to everybody.", 0)
		return false
	}
	return true
}
