package orchestrate

import (
	"context"
	"fmt"
	"time"

	"ship/internal/event"
)

// restDrain is how long an upgrade waits for the old proxy to end. One with long requests goes on by itself.
const restDrain = 8 * time.Second

// replaceProxy puts a new proxy in the place of the host's own, if there is one. If it does not come up, what was there
// serves on. It needs the lease.
func (r *run) replaceProxy(ctx context.Context, h Host) error {
	// Half done, this would leave the host with two proxies or none: go on to the end when the run is cancelled.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 4*undoTimeout)
	defer stop()
	g, err := settleProxy(ctx, h)
	if err != nil {
		return err
	}
	if g.runs() {
		// One that tells its instance can hand over.
		if st, err := h.Proxy.Status(ctx); err == nil && st.Instance != "" {
			return r.upgradeProxy(ctx, h, g)
		}
	}
	return r.swapProxy(ctx, h, g)
}

// upgradeProxy starts the new proxy beside the old one, which hands over to it. No connection is refused meanwhile.
func (r *run) upgradeProxy(ctx context.Context, h Host, g gates) error {
	old := g.current
	spec := r.Proxy.spec(nextName)
	spec.Restart = "no" // until it serves
	id, err := h.Engine.CreateContainer(ctx, spec)
	if err != nil {
		return fmt.Errorf("create container: %w", err)
	}
	// The old one ends when its last request has; from then on the engine would start it again.
	if err = h.Engine.SetRestart(ctx, old.ID, "no"); err != nil {
		err = fmt.Errorf("let the old proxy end: %w", err)
	}
	if err == nil {
		if err = h.Engine.StartContainer(ctx, id); err != nil {
			err = fmt.Errorf("start container: %w", err)
		}
	}
	if err == nil {
		err = answers(ctx, h, id, spec.Labels[LabelInstance])
	}
	if err != nil {
		return r.keepProxy(ctx, h, old.ID, id, err)
	}
	if g, err = findGates(ctx, h); err != nil {
		return err
	}
	if g.next == nil || g.next.ID != id {
		return fmt.Errorf("another run has changed the proxies meanwhile")
	}
	if err := promote(ctx, h, g); err != nil {
		return err
	}
	return r.awaitRetired(ctx, h, old.ID)
}

// keepProxy removes the new proxy, which did not come up, and sees to it that the old one serves on.
func (r *run) keepProxy(ctx context.Context, h Host, old, id string, cause error) error {
	err := removeIfThere(ctx, h, id)
	if e := h.Engine.SetRestart(ctx, old, restartAlways); err == nil {
		err = e
	}
	for tries := 0; err == nil; tries++ {
		if _, e := h.Proxy.Status(ctx); e == nil {
			return fmt.Errorf("%w; the old proxy serves on", cause)
		}
		if tries == 10 {
			break
		}
		sleep(ctx, 100*time.Millisecond)
	}
	// It had handed over already.
	if err == nil {
		err = h.Engine.StopContainer(ctx, old, undoTimeout)
	}
	if err == nil {
		err = h.Engine.StartContainer(ctx, old)
	}
	if err == nil {
		err = answers(ctx, h, old, "")
	}
	if err != nil {
		return fmt.Errorf("%w; and the old proxy could not be started again: %w", cause, err)
	}
	return fmt.Errorf("%w; the old proxy serves again", cause)
}

// awaitRetired waits for a proxy that has handed over to end, and removes it.
func (r *run) awaitRetired(ctx context.Context, h Host, id string) error {
	for end := time.Now().Add(restDrain); ; {
		c, err := h.Engine.InspectContainer(ctx, id)
		if err != nil || !c.Running {
			return removeIfThere(ctx, h, id)
		}
		if time.Now().After(end) || !sleep(ctx, 200*time.Millisecond) {
			r.say(event.Message, h.Name, "proxy", "the old proxy still has connections; it ends with the last of them, and the next run removes it")
			return nil
		}
	}
}

// swapProxy stops the old proxy and boots the new one: for a proxy that cannot hand over, or does not answer. If the new
// one does not come up, the old one takes its place again.
func (r *run) swapProxy(ctx context.Context, h Host, g gates) error {
	if g.current != nil {
		if g.runs() {
			r.say(event.Message, h.Name, "proxy", "the old proxy cannot hand over: its port refuses connections for about a second")
		}
		if err := h.Engine.RenameContainer(ctx, g.current.ID, retiredName(*g.current)); err != nil {
			return fmt.Errorf("rename the old proxy: %w", err)
		}
		if err := h.Engine.StopContainer(ctx, g.current.ID, undoTimeout); err != nil {
			return fmt.Errorf("stop the old proxy: %w", err)
		}
	}
	for _, s := range g.retired { // left by a run that was killed here; or it drains, and what it had was long enough
		if s.Labels[LabelInstance] == "" && s.State == "running" {
			if err := h.Engine.StopContainer(ctx, s.ID, undoTimeout); err != nil {
				return fmt.Errorf("stop %s: %w", s.Name, err)
			}
		}
	}
	err := bootProxy(ctx, h, r.Proxy)
	if err == nil {
		err = answers(ctx, h, ProxyName, "")
	}
	switch {
	case g.current == nil:
		return err
	case err == nil:
		return removeIfThere(ctx, h, g.current.ID)
	}
	back := removeIfThere(ctx, h, ProxyName)
	if back == nil {
		back = h.Engine.RenameContainer(ctx, g.current.ID, ProxyName)
	}
	if back == nil {
		back = h.Engine.StartContainer(ctx, ProxyName)
	}
	if back != nil {
		return fmt.Errorf("%w; and the old proxy could not be started again: %w", err, back)
	}
	return fmt.Errorf("%w; the old proxy serves again", err)
}
