package orchestrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"ship/internal/docker"
	"ship/internal/event"
)

// undo takes the fleet back to what it was, and says in the returned error what came of it. It runs to its end though
// ctx may be cancelled: half an undo would be the mixed fleet that it is there to prevent.
func (r *run) undo(ctx context.Context, cause error) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer stop()
	serves := make([]string, len(r.plan.Hosts))
	err := r.each(func(i int, h Host, hp HostPlan) error {
		err := r.undoHost(ctx, i, h, hp)
		if err != nil {
			serves[i] = "perhaps " + r.plan.Desired.Release.String()
		}
		return err
	})
	if err == nil {
		return cause
	}
	mixed := &MixedError{Cause: errors.Join(cause, err), Hosts: map[string]string{}}
	for i, hp := range r.plan.Hosts {
		mixed.Hosts[hp.Host] = cmp.Or(serves[i], r.plan.before(i))
	}
	return mixed
}

// undoHost first takes all routes back, for that is what users notice; then it lets requests that reached the new
// containers end, and removes those.
func (r *run) undoHost(ctx context.Context, i int, h Host, hp HostPlan) error {
	var failed error
	stays := map[string]bool{} // roles that could not be taken back
	for n, u := range hp.Units {
		if !u.Switch || !r.state[i][n].committed { // without a proxy the old container never stopped
			continue
		}
		r.say(event.Phase, h.Name, "undo", "taking "+u.Role+" back to "+nameOf(u.Previous))
		err := h.Proxy.Undo(ctx, u.Settings.Service.Name, r.Generation)
		stays[u.Role] = err != nil
		failed = errors.Join(failed, onHost(h.Name, "undo "+u.Role, err))
	}
	var acts []func() error
	for n, u := range hp.Units {
		if !stays[u.Role] { // what may be serving must not be removed
			acts = append(acts, func() error { r.discard(ctx, h, u, &r.state[i][n]); return nil })
		}
	}
	return errors.Join(failed, together(acts...))
}

// discard removes a new container that serves no longer, or never did. If it cannot, the next run will.
func (r *run) discard(ctx context.Context, h Host, u UnitPlan, st *unitState) {
	c := cmp.Or(st.id, st.name)
	if c == "" {
		return
	}
	warn := func(act string, err error) {
		if err != nil && !errors.Is(err, docker.ErrNotFound) {
			r.say(event.Warning, h.Name, "undo", fmt.Sprintf("%s the new container of %s: %v", act, u.Role, err))
		}
	}
	if s := u.Settings.Service; s != nil && st.committed {
		_, err := h.Proxy.Drain(ctx, s.Name, st.id, min(time.Duration(u.Settings.DrainTimeout), undoTimeout/3))
		warn("drain", err)
	}
	warn("remove", h.Engine.RemoveContainer(ctx, c, true))
}

func nameOf(d *Deployed) string {
	if d == nil {
		return "nothing, as before"
	}
	return d.Release.String()
}

// before is what host i served when the plan was made: where a role is new, what the others did.
func (p Plan) before(i int) string {
	for _, u := range p.Hosts[i].Units {
		if u.Previous != nil {
			return u.Previous.Release.String()
		}
	}
	return "nothing"
}
