package orchestrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ship/internal/docker"
	"ship/internal/event"
	"ship/proxy"
)

const (
	watchEvery = 200 * time.Millisecond // from one look to the next; the engine waits for half of it before it restarts what has ended
	watchMore  = 15 * time.Second       // beyond the time to watch, for a container whose checks fail just then
	lastWords  = 2 * time.Second        // to fetch the log of a container that died: its users wait for the way back
)

// errUnwatched is a host that could not be looked at: that proves nothing against its containers.
var errUnwatched = errors.New("it could not be watched")

// pause is the time between two groups. The hosts that have switched are watched meanwhile, unless that is not wanted.
func (r *run) pause(ctx context.Context) error {
	d := r.plan.Desired.Wait
	if r.plan.Desired.Watch <= 0 {
		sleep(ctx, d)
		return nil
	}
	return r.watch(ctx, d)
}

// watch looks at all containers that were switched to, and returns an error as soon as one of them is found dead: it has
// ended, the engine had to start it again, it fails its health checks for good, or most of its answers are errors. What cannot
// be seen is a warning.
func (r *run) watch(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	watching, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	err := r.each(func(i int, h Host, hp HostPlan) error {
		units := r.switched(i, hp)
		if len(units) == 0 {
			return nil
		}
		r.say(event.Phase, h.Name, "watch", fmt.Sprintf("watching the new release for %s", d))
		err := r.watchHost(watching, h, units, d)
		if errors.Is(err, errUnwatched) {
			r.say(event.Warning, h.Name, "watch", err.Error())
			return nil
		}
		if err != nil {
			stop(errOtherHost)
		}
		return onHost(h.Name, "watch", err)
	})
	if err = dropSecondary(err); err == nil {
		return context.Cause(ctx)
	}
	return err
}

// watched is a unit that was switched to.
type watched struct {
	UnitPlan
	id string
}

// switched are the host's units that serve because of this run.
func (r *run) switched(i int, hp HostPlan) (units []watched) {
	for n, u := range hp.Units {
		if st := r.state[i][n]; st.committed && u.Act != Keep {
			units = append(units, watched{u, st.id})
		}
	}
	return units
}

// watchHost looks at the units of a host until d has passed. Checks that fail just then are waited for: they say either
// that all is well again, or that it is not.
func (r *run) watchHost(ctx context.Context, h Host, units []watched, d time.Duration) error {
	end := time.Now().Add(d)
	var unseen error
	for told := false; ; {
		seen, stop := context.WithDeadline(ctx, end.Add(watchMore))
		failing, err := r.look(seen, h, units)
		stop()
		var dead *UnhealthyError
		switch unseen = err; {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &dead):
			return &HostError{Host: h.Name, Step: "watch", Err: err, Help: watchHint}
		case !time.Now().Before(end) && (!failing || time.Now().After(end.Add(watchMore))):
			if unseen != nil {
				return fmt.Errorf("%w: %w", errUnwatched, unseen)
			}
			return nil
		case !time.Now().Before(end) && !told:
			told = true
			r.say(event.Phase, h.Name, "watch", "its health checks fail: waiting until they have decided")
		}
		pause := watchEvery
		if left := time.Until(end); left > 0 {
			pause = min(pause, left)
		}
		if !sleep(ctx, pause) {
			return context.Cause(ctx)
		}
	}
}

const watchHint = "it was healthy when it was switched to: see what it does once requests come; boot.watch is how long it is watched"

// look is one look at all units. The error is an *UnhealthyError for one that is dead; any other says that not all could
// be seen. failing is one whose checks fail, though not for long enough yet.
func (r *run) look(ctx context.Context, h Host, units []watched) (failing bool, err error) {
	var st proxy.Status
	found, errs := make([]docker.Container, len(units)), make([]error, len(units))
	var acts []func() error
	proxied := false
	for n, u := range units {
		proxied = proxied || u.Settings.Service != nil
		acts = append(acts, func() error {
			found[n], errs[n] = h.Engine.InspectContainer(ctx, u.id)
			return errs[n]
		})
	}
	if proxied {
		acts = append(acts, func() (err error) { st, err = h.Proxy.Status(ctx); return err })
	}
	err = together(acts...)
	for n, u := range units {
		bad, cause := ill(u, found[n], errs[n], st)
		if cause != nil {
			return false, r.lost(ctx, h, u, cause)
		}
		failing = failing || bad
	}
	return failing, err
}

// ill judges a unit by what is known of it: cause is why it is dead, failing says that it may be soon.
func ill(u watched, c docker.Container, unseen error, st proxy.Status) (failing bool, cause error) {
	switch {
	case errors.Is(unseen, docker.ErrNotFound):
		return false, errors.New("the container is gone")
	case unseen != nil:
	case !c.Running || c.Restarting:
		return false, exited(c)
	case c.RestartCount > 0:
		return false, errors.New("the container ended, and the engine had to start it again")
	case u.Settings.Service == nil && c.Health == "unhealthy":
		return false, errors.New("its health check fails")
	}
	if u.Settings.Service == nil {
		return false, nil
	}
	for _, s := range st.Services {
		t := target(s, u.id)
		if s.Name != u.Settings.Service.Name || t == nil {
			continue
		}
		if t.Health == "ejected" {
			return false, fmt.Errorf("the proxy sends it no more requests: %s", t.Last)
		}
		if now := (Tally{t.Answered, t.Failed}); u.Previous != nil && now.worse(u.Previous.Tally) {
			return false, fmt.Errorf("it answers %s with 5xx; %s did so with %s", now, u.Previous.Release, u.Previous.Tally)
		}
		return t.Health == "failing", nil
	}
	return false, nil
}

// lost is unhealthy for a container that served already.
func (r *run) lost(ctx context.Context, h Host, u watched, cause error) error {
	short, stop := context.WithTimeout(ctx, lastWords)
	defer stop()
	e := &UnhealthyError{Role: u.Role, Switched: true, Cause: cause}
	if c, err := h.Engine.InspectContainer(short, u.id); err == nil {
		e.Container = c
	}
	e.Logs = lastLines(short, h, u.id, 20)
	return e
}
