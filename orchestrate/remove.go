package orchestrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ship/internal/docker"
	"ship/internal/event"
)

// RemovePlan is what goes from one host when an app does. Images stay: `ship prune` and other apps know better.
type RemovePlan struct {
	Host       string
	Services   []string   // of the proxy
	Containers []Deployed // in any state
	Volumes    []string   // named ones, if they are to go
}

// NewRemovePlan is pure. Roles that takes says no to stay. With volumes, those of the containers go too, and the named ones: a
// removal that was cut short may have left no container to tell of them.
func NewRemovePlan(app App, takes func(role string) bool, volumes bool, named []string, o Observed) RemovePlan {
	p := RemovePlan{Host: o.Host}
	if volumes {
		p.Volumes = slices.Clone(named)
	}
	names := sortedKeys(o.Proxy.Status.Bad)
	for _, s := range o.Proxy.Status.Services {
		names = append(names, s.Name)
	}
	for _, name := range names {
		// No role has a dot; what has another one belongs to a destination of the same service.
		if role, ok := strings.CutPrefix(name, app.Name()+"."); ok && !strings.Contains(role, ".") && takes(role) {
			p.Services = append(p.Services, name)
		}
	}
	kept := map[string]bool{}
	for _, d := range o.Deployed {
		if !takes(d.Role) {
			for _, v := range namedVolumes(d) {
				kept[v] = true
			}
			continue
		}
		p.Containers = append(p.Containers, d)
		if volumes {
			p.Volumes = append(p.Volumes, namedVolumes(d)...)
		}
	}
	slices.Sort(p.Services)
	slices.Sort(p.Volumes)
	p.Volumes = slices.DeleteFunc(slices.Compact(p.Volumes), func(v string) bool { return kept[v] })
	return p
}

func namedVolumes(d Deployed) (names []string) {
	for _, m := range d.Spec.Mounts {
		if m.Type == "volume" && m.Source != "" {
			names = append(names, m.Source)
		}
	}
	return names
}

// Empty says that there is nothing to remove.
func (p RemovePlan) Empty() bool { return len(p.Services)+len(p.Containers)+len(p.Volumes) == 0 }

// Removable refuses a host whose proxy cannot be told: it would bring the routes back when it runs again.
func Removable(o Observed) error {
	if o.Proxy.Err == nil && (!o.Proxy.Exists || o.Proxy.Running) {
		return nil
	}
	return &HostError{Host: o.Host, Step: "remove", Err: &RefusedError{
		Cause: "its proxy does not run, or does not answer", Help: "see `ship proxy status`; `ship proxy boot` starts it"}}
}

// Remove does what the plans say, on all hosts at once: routes first, then containers, once their requests have ended. A
// *PartlyError says on which hosts it worked when it did not on all; the same again removes the rest.
func Remove(ctx context.Context, app App, hosts []Host, plans []RemovePlan, generation int64, emit event.Func) error {
	r := &run{Inputs: Inputs{Generation: generation, Emit: emit}}
	failed := make([]bool, len(hosts))
	err := eachHost(hosts, func(i int, h Host) error {
		err := r.remove(ctx, h, plans[i])
		failed[i] = err != nil
		return onHost(h.Name, "remove", err)
	})
	var done []string
	for i, h := range hosts {
		if !failed[i] {
			done = append(done, h.Name)
		}
	}
	if err != nil && len(done) > 0 {
		return &PartlyError{app.Name() + " is removed", done, err}
	}
	return err
}

func (r *run) remove(ctx context.Context, h Host, p RemovePlan) error {
	for _, name := range p.Services {
		r.say(event.Phase, h.Name, "remove", "removing the route of "+name)
		if err := h.Proxy.Remove(ctx, name, r.Generation); err != nil {
			return fmt.Errorf("remove the route of %s: %w", name, err)
		}
	}
	acts := make([]func() error, len(p.Containers))
	for n, d := range p.Containers {
		acts[n] = func() error { return r.removeContainer(ctx, h, d) }
	}
	if err := together(acts...); err != nil {
		return err
	}
	for _, v := range p.Volumes {
		r.say(event.Phase, h.Name, "remove", "removing volume "+v)
		switch err := h.Engine.RemoveVolume(ctx, v); {
		case errors.Is(err, docker.ErrConflict):
			r.say(event.Warning, h.Name, "remove", "volume "+v+" stays: something else uses it")
		case err != nil && !errors.Is(err, docker.ErrNotFound):
			return fmt.Errorf("remove volume %s: %w", v, err)
		}
	}
	return nil
}

// removeContainer lets what is in flight end, as a deploy does, and removes the container.
func (r *run) removeContainer(ctx context.Context, h Host, d Deployed) error {
	if d.Running {
		if s := d.Settings.Service; s != nil {
			r.say(event.Phase, h.Name, "drain", "draining "+d.Name)
			if _, err := h.Proxy.Drain(ctx, s.Name, d.ID, time.Duration(d.Settings.DrainTimeout)); err != nil && ctx.Err() == nil {
				r.say(event.Warning, h.Name, "drain", fmt.Sprintf("%s: %v", d.Name, err))
			}
		}
		r.say(event.Phase, h.Name, "stop", "stopping "+d.Name)
		if err := h.Engine.StopContainer(ctx, d.ID, time.Duration(d.Settings.StopTimeout)); err != nil && !errors.Is(err, docker.ErrNotFound) {
			return fmt.Errorf("stop %s: %w", d.Name, err)
		}
	}
	r.say(event.Phase, h.Name, "remove", "removing "+d.Name)
	if err := h.Engine.RemoveContainer(ctx, d.ID, true); err != nil && !errors.Is(err, docker.ErrNotFound) {
		return fmt.Errorf("remove %s: %w", d.Name, err)
	}
	return nil
}
