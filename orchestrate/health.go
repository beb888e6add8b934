package orchestrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
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
		if u.Act == Keep {
			continue
		}
		st := &r.state[i][n]
		acts = append(acts, func() error {
			r.say(event.Phase, h.Name, "health", "waiting for "+u.Role)
			wait := r.settled
			if u.Settings.Service != nil {
				wait = r.answers
			}
			if err := wait(ctx, h, u, st); err != nil {
				return onHost(h.Name, "health", r.unhealthy(ctx, h, u, st, err))
			}
			return nil
		})
	}
	return together(acts...)
}

// answers waits until the proxy finds the container healthy. A container that ends meanwhile ends the waiting.
func (r *run) answers(ctx context.Context, h Host, u UnitPlan, st *unitState) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if err := watch(ctx, h, st.id, done); err != nil {
			stop(err)
		}
	}()
	c, err := h.Engine.InspectContainer(ctx, st.id)
	if err == nil {
		req := proxy.PrepareRequest{
			Service: *u.Settings.Service, Generation: r.Generation, Timeout: time.Duration(u.Settings.DeployTimeout),
			Target: proxy.Target{ID: c.ID, Address: net.JoinHostPort(c.Labels[LabelAddress], strconv.Itoa(u.Settings.Port)), Release: u.Release.String()},
		}
		last := ""
		st.token, err = h.Proxy.Prepare(ctx, req, func(a proxy.Attempt) {
			if text := a.String(); text != last { // the same answer, many times a second, is told once
				last = text
				r.say(event.Phase, h.Name, "health", u.Role+": "+text)
			}
		})
	}
	close(done)
	<-watched
	if cause := context.Cause(ctx); cause != nil && err != nil {
		return cause
	}
	return err
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
func (r *run) unhealthy(ctx context.Context, h Host, u UnitPlan, st *unitState, cause error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e := &UnhealthyError{Role: u.Role, Cause: cause}
	if c, err := h.Engine.InspectContainer(ctx, st.id); err == nil {
		e.Container = c
	}
	e.Logs = lastLines(ctx, h, st.id, 20)
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
