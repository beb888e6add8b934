package orchestrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ship/internal/docker"
	"ship/internal/event"
	"ship/proxy"
)

// UnhealthyError says why a new container was not taken into service, or not left there.
type UnhealthyError struct {
	Role      string
	Switched  bool // it had been, was healthy, and did not stay so
	Container docker.Container
	Cause     error    // the proxy's last answers, or what the engine says
	Logs      []string // the container's last lines: foreign text, bounded, to be cleaned by whoever shows it
}

func (e *UnhealthyError) Error() string {
	if e.Switched {
		return fmt.Sprintf("%s did not stay healthy after the switch: %v", e.Role, e.Cause)
	}
	return fmt.Sprintf("%s did not become healthy: %v", e.Role, e.Cause)
}
func (e *UnhealthyError) Unwrap() error { return e.Cause }

// log is what a person wants to see below the error: the last lines of the container's log.
func (e *UnhealthyError) log() string {
	if len(e.Logs) == 0 {
		return "the container wrote nothing"
	}
	return "last lines of " + e.Container.Name + ":\n  " + strings.Join(e.Logs, "\n  ")
}

// waitHealthy waits for all new containers of a host at once.
func (r *run) waitHealthy(ctx context.Context, i int, h Host, hp HostPlan) error {
	acts := make([]func() error, 0, len(hp.Units))
	for n, u := range hp.Units {
		st := &r.state[i][n]
		var wait func() (at string, err error)
		switch {
		case u.Switch: // for all replicas
			wait = func() (string, error) { return r.answers(ctx, h, u, st, r.containers(i, u.Role)) }
		case u.Settings.Service == nil && u.Act != Keep:
			wait = func() (string, error) { return st.id, r.settled(ctx, h, u, st) }
		default:
			continue
		}
		acts = append(acts, func() error {
			r.say(event.Phase, h.Name, "health", "waiting for "+u.name())
			if at, err := wait(); err != nil {
				return onHost(h.Name, "health", r.unhealthy(ctx, h, u, at, err))
			}
			return nil
		})
	}
	return together(acts...)
}

// containers are the IDs of all that a role will serve by on a host, in the order of its replicas.
func (r *run) containers(i int, role string) (ids []string) {
	for n, u := range r.plan.Hosts[i].Units {
		switch {
		case u.Role != role:
		case u.Act == Keep:
			ids = append(ids, u.Existing.ID)
		default:
			ids = append(ids, r.state[i][n].id)
		}
	}
	return ids
}

// diedError is a container that ended while it was waited for.
type diedError struct {
	id string
	error
}

// answers waits until the proxy finds the containers healthy. One that ends meanwhile ends the waiting. With an error comes the
// container that it is about.
func (r *run) answers(ctx context.Context, h Host, u UnitPlan, st *unitState, ids []string) (string, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	done := make(chan struct{})
	var watched sync.WaitGroup
	for _, id := range ids {
		watched.Go(func() {
			if err := watch(ctx, h, id, done); err != nil {
				stop(&diedError{id, err})
			}
		})
	}
	req, err := r.request(ctx, h, u, ids)
	if err == nil {
		last := ""
		st.token, err = h.Proxy.Prepare(ctx, req, func(a proxy.Attempt) {
			if text := a.String(); text != last { // the same answer, many times a second, is told once
				last = text
				r.say(event.Phase, h.Name, "health", u.Role+": "+text)
			}
		})
	}
	close(done)
	watched.Wait()
	var died *diedError
	var ill *proxy.UnhealthyError
	switch cause := context.Cause(ctx); {
	case err != nil && errors.As(cause, &died):
		return died.id, died.error
	case err != nil && cause != nil:
		return ids[0], cause
	case errors.As(err, &ill) && slices.Contains(ids, ill.Target.ID):
		return ill.Target.ID, err
	}
	return ids[0], err
}

// request asks the proxy for the containers as one service.
func (r *run) request(ctx context.Context, h Host, u UnitPlan, ids []string) (proxy.PrepareRequest, error) {
	req := proxy.PrepareRequest{Service: *u.Settings.Service, Generation: r.Generation, Timeout: time.Duration(u.Settings.DeployTimeout)}
	for n, id := range ids {
		c, err := h.Engine.InspectContainer(ctx, id)
		if err != nil {
			return req, err
		}
		t := proxy.Target{ID: c.ID, Address: net.JoinHostPort(c.Labels[LabelAddress], strconv.Itoa(u.Settings.Port)), Release: u.Release.String()}
		if n == 0 {
			req.Target = t
		} else {
			req.More = append(req.More, t)
		}
	}
	return req, nil
}

// watch returns an error when the container no longer runs, and nil when done is closed or ctx ends.
func watch(ctx context.Context, h Host, id string, done <-chan struct{}) error {
	for {
		c, err := h.Engine.InspectContainer(ctx, id)
		if err == nil && !c.Running {
			return exited(c)
		}
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return nil
		case <-time.After(400 * time.Millisecond):
		}
	}
}

// settled waits until Docker's own health check passes or, without one, the container has run for Settle.
func (r *run) settled(ctx context.Context, h Host, u UnitPlan, st *unitState) error {
	deadline := time.Now().Add(time.Duration(u.Settings.DeployTimeout))
	start := time.Now()
	for {
		c, err := h.Engine.InspectContainer(ctx, st.id)
		switch {
		case err != nil:
			return err
		case !c.Running:
			return exited(c)
		case c.Health == "healthy":
			return nil
		case c.Health == "unhealthy":
			return fmt.Errorf("its health check fails: %s", strings.Join(c.HealthLog, "; "))
		case c.Health == "" && time.Since(start) >= time.Duration(u.Settings.Settle):
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("its health check has not passed within %s", time.Duration(u.Settings.DeployTimeout))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func exited(c docker.Container) error {
	s := fmt.Sprintf("the container exited with status %d", c.ExitCode)
	if c.OOMKilled {
		s += ", killed for want of memory"
	}
	if c.Error != "" {
		s += ": " + c.Error
	}
	return errors.New(s)
}

// unhealthy collects what explains err. A run that was cancelled explains itself.
func (r *run) unhealthy(ctx context.Context, h Host, u UnitPlan, id string, cause error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e := &UnhealthyError{Role: u.Role, Cause: cause}
	if c, err := h.Engine.InspectContainer(ctx, id); err == nil {
		e.Container = c
	}
	e.Logs = lastLines(ctx, h, id, 20)
	return e
}

// lastLines of a container's log, as far as they can be had: an explanation must not fail for want of a detail.
func lastLines(ctx context.Context, h Host, id string, n int) []string {
	ctx, stop := context.WithTimeout(ctx, finalTimeout)
	defer stop()
	rc, err := h.Engine.Logs(ctx, id, docker.LogOptions{Tail: n})
	if err != nil {
		return nil
	}
	defer rc.Close()
	b, err := io.ReadAll(io.LimitReader(rc, 64<<10))
	if err != nil && len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimRight(string(b), "\n"), "\n")
}
