package orchestrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ship/internal/docker"
	"ship/internal/event"
	"ship/layers"
	"ship/transfer"
)

// Limits of acts that go on after the run itself was cancelled: what was begun must end in a known state.
const (
	undoTimeout  = 30 * time.Second // per fleet: take back a switch, remove new containers
	finalTimeout = 10 * time.Second // adopt, audit, unlock
)

// Inputs are what a plan's execution needs beside the plan.
type Inputs struct {
	Hosts      []Host // as the plan's, in the same order
	Generation int64
	Source     layers.Source    // the release's image; nil if the hosts hold it (rollback)
	Transfer   transfer.Options // how images go to hosts; their names are filled in
	Proxy      ProxyImage
	Lock       LockOptions // for the lease of a host's proxy, which all apps share
	Emit       event.Func
}

// run is one execution of a plan. Each host's state is touched by that host's goroutine only; phases are barriers.
type run struct {
	Inputs
	plan  Plan
	state [][]unitState // by host, by unit
}

// unitState is how far a unit has come.
type unitState struct {
	name      string // of the new container, before it is asked for: a cancelled call may have made it all the same
	id        string // "" until the engine has answered
	token     string // of the prepared target
	committed bool
}

// Execute does what the plan says. Until every host is ready, an error (or the end of ctx) leaves the fleet as it was:
// new containers are removed. From the first commit on, an error takes the committed hosts back; only if that fails
// too is the fleet mixed (*MixedError). That goes for the watch after the last commit too: until it has passed, old
// containers run, and the way back is short. Then the new release serves for good, and what goes wrong with old
// containers is a warning, for the next run finds them.
func Execute(ctx context.Context, p Plan, in Inputs) (Report, error) {
	r := &run{Inputs: in, plan: p, state: make([][]unitState, len(p.Hosts))}
	for i, hp := range p.Hosts {
		r.state[i] = make([]unitState, len(hp.Units))
	}
	rep := newReport(p)
	err := r.prepare(ctx, &rep)
	if err == nil {
		err = r.issue(ctx)
	}
	if err == nil {
		err = r.commit(ctx)
	}
	if err == nil {
		err = r.watch(ctx, p.Desired.Watch)
	}
	if err != nil {
		err = r.undo(ctx, because(ctx, err))
		rep.finish(err)
		return rep, err
	}
	err = r.finish(ctx)
	rep.finish(err)
	return rep, err
}

// because puts the reason of a cancelled run (a signal, a lost lease) before what came of it: deep below, a cancelled
// context may have been all that was known.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// prepare brings every host to the point where it could switch. Users see nothing of it.
func (r *run) prepare(ctx context.Context, rep *Report) error {
	if err := r.ship(ctx, rep); err != nil {
		return err
	}
	// One host that cannot become ready decides for all: the others need not go on waiting for theirs.
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	err := r.each(func(i int, h Host, hp HostPlan) error {
		err := r.prepareHost(ctx, i, h, hp)
		if err != nil {
			stop(errOtherHost)
		}
		return err
	})
	return dropSecondary(err)
}

var errOtherHost = errors.New("given up, for another host failed")

// dropSecondary leaves out the errors of hosts that only stopped because another one failed: they say so, or only know
// that they were cancelled. If nothing else is left, all of them stay.
func dropSecondary(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var own []error
	for _, e := range joined.Unwrap() {
		if !errors.Is(e, errOtherHost) && !errors.Is(e, context.Canceled) {
			own = append(own, e)
		}
	}
	if len(own) == 0 {
		return err
	}
	return errors.Join(own...)
}

// ship sends the release's image, and the proxy's where there is none, to all hosts that need it.
func (r *run) ship(ctx context.Context, rep *Report) error {
	var image, proxies []transfer.Host
	var at []int
	for i, hp := range r.plan.Hosts {
		if hp.Ship != "" {
			image, at = append(image, TransferHost(r.Hosts[i])), append(at, i)
		}
		if hp.Proxy == ProxyBoot {
			proxies = append(proxies, TransferHost(r.Hosts[i]))
		}
	}
	if len(proxies) > 0 {
		o := r.Transfer
		o.Tag = r.Proxy.Ref()
		if _, err := transfer.Push(ctx, proxies, r.Proxy.Source, o); err != nil {
			return wrap("ship the proxy", err)
		}
	}
	if r.Source == nil || len(image) == 0 {
		return nil
	}
	o := r.Transfer
	o.Tag = r.plan.Desired.App.ImageRef(r.plan.Desired.Release)
	results, err := transfer.Push(ctx, image, r.Source, o)
	for n, res := range results {
		rep.Hosts[at[n]].shipped(res)
	}
	return wrap("ship", err)
}

// prepareHost starts what the host will switch to, and waits until it is healthy.
func (r *run) prepareHost(ctx context.Context, i int, h Host, hp HostPlan) error {
	if err := r.readyProxy(ctx, h, hp.Proxy); err != nil {
		return onHost(h.Name, "boot proxy", err)
	}
	for _, s := range hp.Clear {
		r.say(event.Phase, h.Name, "clean", "removing "+s.Container.Name+": "+s.Cause)
		if err := h.Engine.RemoveContainer(ctx, s.Container.ID, true); err != nil && !errors.Is(err, docker.ErrNotFound) {
			return onHost(h.Name, "remove "+s.Container.Name, err)
		}
	}
	if err := r.certify(ctx, h, hp); err != nil {
		return onHost(h.Name, "certify", err)
	}
	if err := r.givePages(ctx, h, hp); err != nil {
		return onHost(h.Name, "give pages", err)
	}
	for n, u := range hp.Units {
		st := &r.state[i][n]
		switch u.Act {
		case Keep:
			continue
		case Reuse:
			st.id = u.Existing.ID
		case Start:
			r.say(event.Phase, h.Name, "start", "starting "+u.name())
			if err := r.startUnit(ctx, h, u, st); err != nil {
				return onHost(h.Name, "start "+u.name(), err)
			}
		}
	}
	return r.waitHealthy(ctx, i, h, hp)
}

// commit switches the hosts, one group after the other, each only when the one before has switched.
func (r *run) commit(ctx context.Context) error {
	for n, group := range r.plan.Groups {
		if n > 0 {
			if err := r.pause(ctx); err != nil {
				return err
			}
		}
		if ctx.Err() != nil { // the lease may be lost, or somebody pressed Ctrl-C: then no further host is touched
			return context.Cause(ctx)
		}
		hosts := make([]Host, len(group))
		for k, i := range group {
			hosts[k] = r.Hosts[i]
		}
		err := eachHost(hosts, func(k int, h Host) error {
			return onHost(h.Name, "switch", r.commitHost(ctx, group[k], h))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *run) commitHost(ctx context.Context, i int, h Host) error {
	for n, u := range r.plan.Hosts[i].Units {
		if !u.changes() {
			continue
		}
		st := &r.state[i][n]
		r.say(event.Phase, h.Name, "switch", "switching "+u.name()+" to "+u.Release.String())
		// From here on the host counts as committed, also if the answer never comes: undo is harmless, mixed is not.
		st.committed = true
		if u.Switch { // with all replicas
			for k, v := range r.plan.Hosts[i].Units {
				r.state[i][k].committed = r.state[i][k].committed || v.Role == u.Role
			}
			if err := commitService(ctx, h.Proxy, u.Settings.Service.Name, st.token, r.Generation); err != nil {
				return err
			}
		}
		if u.Act == Keep {
			continue
		}
		if err := h.Engine.SetRestart(ctx, st.id, "unless-stopped"); err != nil {
			return fmt.Errorf("set restart policy: %w", err)
		}
	}
	return nil
}

// each runs do for every host of the plan at once.
func (r *run) each(do func(i int, h Host, hp HostPlan) error) error {
	return eachHost(r.Hosts, func(i int, h Host) error { return do(i, h, r.plan.Hosts[i]) })
}

func (r *run) say(t event.Type, host, phase, text string) {
	r.Emit.Emit(event.Event{Type: t, Host: host, Phase: phase, Text: text})
}
