package orchestrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ship/internal/docker"
	"ship/internal/event"
)

// nextName is the container of a proxy that has not taken over yet. Once it has, it is renamed to ProxyName, and the one
// that had this name before to ProxyName and its instance.
const nextName = ProxyName + "-next"

// gates are the proxy containers of a host. At rest there is one, and its restart policy is "unless-stopped". While one
// takes over from another, that is "no" for both: the engine must not bring back what has ended on purpose.
type gates struct {
	current *docker.Container // named ProxyName; nil = none
	next    *docker.Container // named nextName; nil = none
	retired []docker.ContainerSummary
}

// findGates asks the engine.
func findGates(ctx context.Context, h Host) (gates, error) {
	var g gates
	list, err := h.Engine.ListContainers(ctx, map[string]string{LabelProxy: ""})
	if err != nil {
		return g, fmt.Errorf("list the proxies: %w", err)
	}
	for _, s := range list {
		if s.Name != ProxyName && s.Name != nextName {
			g.retired = append(g.retired, s)
			continue
		}
		c, err := h.Engine.InspectContainer(ctx, s.ID)
		switch {
		case errors.Is(err, docker.ErrNotFound): // gone since the list
		case err != nil:
			return g, fmt.Errorf("inspect %s: %w", s.Name, err)
		case s.Name == ProxyName:
			g.current = &c
		default:
			g.next = &c
		}
	}
	return g, nil
}

// unfinished says whether an upgrade was begun and neither finished nor taken back.
func (g gates) unfinished() bool {
	return g.next != nil && g.next.Running || g.current != nil && g.current.Running && g.current.Spec.Restart == "no"
}

func (g gates) runs() bool { return g.current != nil && g.current.Running && !g.current.Restarting }

// proxyLease names the lease of a host's proxy: no service has a dot in its name.
const proxyLease = ".proxy"

// alone runs do while no other run is at the host's proxy.
func (r *run) alone(ctx context.Context, h Host, do func(context.Context) error) error {
	o := r.Lock
	o.Wait = max(o.Wait, time.Minute)
	held, lock, err := Acquire(ctx, App{Service: proxyLease}, []Host{h}, o)
	if err != nil {
		return err
	}
	err = do(held)
	if e := lock.Release(ctx); e != nil {
		r.say(event.Warning, h.Name, "unlock", fmt.Sprintf("%v; the proxy's lock ends by itself within a minute", e))
	}
	return err
}

// settleProxy finishes an upgrade that a killed run has begun, or takes it back, and removes what earlier upgrades left.
// It returns what is there then. It needs the lease.
func settleProxy(ctx context.Context, h Host) (gates, error) {
	g, err := findGates(ctx, h)
	if err != nil {
		return g, err
	}
	if g.next != nil {
		if err = settleNext(ctx, h, g); err == nil {
			g, err = findGates(ctx, h)
		}
		if err != nil {
			return g, err
		}
	}
	if c := g.current; c != nil && c.Spec.Restart == "no" {
		if err := h.Engine.SetRestart(ctx, c.ID, restartAlways); err != nil {
			return g, fmt.Errorf("keep %s: %w", c.Name, err)
		}
	}
	return g, sweep(ctx, h, g)
}

// settleNext promotes the next proxy if it takes over, and else removes it. One that runs is waited for: whoever looked, and then
// removed it, might end the one that had taken over in between, and there would be none. The old one may end meanwhile too:
// then the next one is the proxy.
func settleNext(ctx context.Context, h Host, g gates) error {
	for end := time.Now().Add(takeOverPatience); g.next != nil; {
		if !g.next.Running {
			switch err := h.Engine.RemoveContainer(ctx, g.next.ID, false); {
			case err == nil, errors.Is(err, docker.ErrNotFound):
				return nil
			case !errors.Is(err, docker.ErrConflict):
				return fmt.Errorf("remove %s: %w", g.next.Name, err)
			}
			// The run that was killed had asked for its start, which has come just now.
		} else if !g.runs() || g.current.Labels[LabelInstance] != "" && tookOver(ctx, h, g) {
			return promote(ctx, h, g)
		} else if g.current.Labels[LabelInstance] == "" || time.Now().After(end) { // it cannot hand over, or will not
			return removeIfThere(ctx, h, g.next.ID)
		}
		if !sleep(ctx, 150*time.Millisecond) {
			return context.Cause(ctx)
		}
		var err error
		if g, err = findGates(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

const takeOverPatience = 15 * time.Second

// tookOver asks by way of the current proxy: they share a control socket.
func tookOver(ctx context.Context, h Host, g gates) bool {
	st, err := h.Proxy.Status(ctx)
	return err == nil && st.Instance == g.next.Labels[LabelInstance]
}

// promote gives the next proxy the name by which all find it, and the policy to stay.
func promote(ctx context.Context, h Host, g gates) error {
	if err := h.Engine.SetRestart(ctx, g.next.ID, restartAlways); err != nil {
		return fmt.Errorf("keep the new proxy: %w", err)
	}
	if c := g.current; c != nil {
		if err := h.Engine.RenameContainer(ctx, c.ID, retiredName(*c)); err != nil {
			return fmt.Errorf("rename the old proxy: %w", err)
		}
	}
	if err := h.Engine.RenameContainer(ctx, g.next.ID, ProxyName); err != nil {
		return fmt.Errorf("rename the new proxy: %w", err)
	}
	return nil
}

func retiredName(c docker.Container) string { return ProxyName + "-" + c.ID[:min(12, len(c.ID))] }

// sweepProxies is sweep where nothing else is known of the proxies.
func sweepProxies(ctx context.Context, h Host) error {
	g, err := findGates(ctx, h)
	if err != nil {
		return err
	}
	return sweep(ctx, h, g)
}

// sweep removes the proxies that were replaced and have ended.
func sweep(ctx context.Context, h Host, g gates) error {
	for _, s := range g.retired {
		if s.State == "running" {
			continue
		}
		err := h.Engine.RemoveContainer(ctx, s.ID, false)
		if err != nil && !errors.Is(err, docker.ErrNotFound) && !errors.Is(err, docker.ErrConflict) {
			return fmt.Errorf("remove %s: %w", s.Name, err)
		}
	}
	return nil
}

// sleep returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// answers waits until the proxy's control answers; with an instance, until that one does. The container is looked at
// meanwhile: one that does not stay up will not answer.
func answers(ctx context.Context, h Host, container, instance string) error {
	var last error
	for range 100 {
		st, err := h.Proxy.Status(ctx)
		switch {
		case err == nil && (instance == "" || st.Instance == instance):
			return nil
		case err == nil:
			err = errors.New("the old one serves still")
		}
		last = err
		c, err := h.Engine.InspectContainer(ctx, container)
		if err == nil && c.State != "created" && (!c.Running || c.Restarting || c.RestartCount > 0) {
			logs := strings.Join(lastLines(ctx, h, container, 5), "; ")
			return fmt.Errorf("the proxy does not stay up: %w: %s", exited(c), logs)
		}
		if !sleep(ctx, 150*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
	return fmt.Errorf("the proxy does not answer: %w", last)
}
