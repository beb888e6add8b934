package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// condition is what the checks have found of a target so far. Only its watch changes it.
type condition struct {
	last     Attempt
	since    time.Time // when it became healthy, or began to fail
	failures int       // in a row
	counted  time.Time // when the first of them was
	ejected  bool      // it is given no requests
}

// watched is how a target fares, as its watch and the requests see it.
type watched struct {
	condition atomic.Pointer[condition] // nil: not asked yet
	answered  atomic.Int64              // requests, so far
	failed    atomic.Int64              // of those, the ones that it answered with 5xx
	hints     chan struct{}             // that it refused a connection
}

func newWatched() watched { return watched{hints: make(chan struct{}, 1)} }

// hint has the watch ask soon.
func (w *watched) hint() {
	select {
	case w.hints <- struct{}{}:
	default:
	}
}

// heard notes what came of a request that was sent to the target.
func (w *watched) heard(resp *http.Response, err error) {
	if err != nil {
		return
	}
	if resp.StatusCode >= 500 {
		w.failed.Add(1)
	}
	w.answered.Add(1)
}

// know takes in an answer from before the watch.
func (w *watched) know(a Attempt) {
	w.condition.Store((*condition)(nil).after(a, true, HealthCheck{}, 0))
}

// after is the condition once a further check has been made. A check that counts for nothing is only told of. The target is
// ejected after so many failures in a row as the service allows, and not before they have lasted as long as they do at the
// service's interval: hints make checks come faster. One that does not answer at all has the time for which requests are
// held too: until then it may be on its way back, and to wait for it is the better answer.
func (c *condition) after(a Attempt, counts bool, h HealthCheck, hold time.Duration) *condition {
	next := condition{last: a, since: a.Time}
	if c != nil && c.last.Healthy == a.Healthy {
		next.since = c.since
	}
	if a.Healthy {
		return &next
	}
	if c != nil {
		next.failures, next.counted, next.ejected = c.failures, c.counted, c.ejected
	}
	if !counts {
		return &next
	}
	if next.failures++; next.failures == 1 {
		next.counted = a.Time
	}
	lasted := time.Duration(max(0, h.Failures-1)) * time.Duration(h.Interval)
	if a.Status == 0 {
		lasted = max(lasted, hold)
	}
	if next.failures >= h.Failures && h.Failures > 0 && a.Time.Sub(next.counted) >= lasted-lasted/8 { // clocks are not that exact
		next.ejected = true
	}
	return &next
}

const (
	soonest   = 50 * time.Millisecond // from one check to the next, whatever hints there are
	comeback  = time.Second           // at most, from one check to the next, while the target is ejected
	reprieve  = 250 * time.Millisecond
	retryDown = 5 // seconds, for clients of an ejected target
)

// watch goes on asking for as long as the target may serve, and says when it is ejected and when it is back.
func (m *manager) watch(ctx context.Context, u *upstream, s Service) {
	log := m.log.With("service", s.Name, "target", u.Address)
	for ask := u.condition.Load() == nil; ; ask = true {
		if ask {
			before, answered := u.condition.Load(), u.answered.Load()
			a := m.checker.check(ctx, u.Target, s)
			took := time.Since(a.Time)
			if ctx.Err() != nil {
				return
			}
			now := before.after(a, proves(a, took, u.answered.Load() > answered, s.Health), s.Health, u.hold)
			u.condition.Store(now)
			if a.Healthy {
				u.since.Store(0)
			}
			switch was := before != nil && before.ejected; {
			case now.ejected && !was:
				log.Error("the target is ejected: it gets no requests until it is healthy again", "failures", now.failures, "answer", a.String())
			case was && !now.ejected:
				log.Info("the target is healthy again", "after", time.Since(before.since).Round(time.Millisecond).String())
			}
		}
		if !u.rest(ctx, s.Health) {
			return
		}
	}
}

// proves tells whether a check says something of the target. One that is not answered in time does not when the target
// answers requests meanwhile, or when we ourselves were late: then the machine is what is slow.
func proves(a Attempt, took time.Duration, answers bool, h HealthCheck) bool {
	if a.Healthy || a.Status != 0 || a.refused {
		return true
	}
	return !answers && took < time.Duration(h.Timeout)+reprieve
}

// rest waits for the time of the next check. It returns false when ctx ends first.
func (u *upstream) rest(ctx context.Context, h HealthCheck) bool {
	pause := time.Duration(h.Interval)
	if u.ejected() {
		pause = min(pause, comeback)
	}
	least := min(pause, soonest)
	select {
	case <-ctx.Done():
		return false
	case <-time.After(least):
	}
	select {
	case <-ctx.Done():
		return false
	case <-u.hints:
	case <-time.After(pause - least):
	}
	return true
}

func (w *watched) ejected() bool {
	c := w.condition.Load()
	return c != nil && c.ejected
}

var errEjected = errors.New("the target is ejected")

// eject answers a request whose target is ejected: nobody is dialled for it.
func (g *gate) eject(w http.ResponseWriter, r *http.Request, x *exchange) bool {
	c := x.target.condition.Load()
	if c == nil || !c.ejected {
		return false
	}
	x.failure = fmt.Errorf("%w: %s", errEjected, c.last)
	writePage(w, r, http.StatusServiceUnavailable, "The service is not well at the moment. It is looked after: try again in some seconds.", retryDown)
	return true
}
