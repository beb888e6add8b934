package orchestrate

import (
	"context"
	"errors"
	"strings"

	"ship/internal/docker"
	"ship/internal/event"
)

// PrunePlan is what a prune removes from one host: leftovers of runs that did not finish, stopped containers beyond
// retain, and images of the app that no container needs then. Other apps' things, and images in use, are never named.
type PrunePlan struct {
	Host   string
	Clear  []Stop // removed, running or not
	Stop   []Stop // replaced but still running: drained and stopped, not removed
	Prune  []Deployed
	Images []string // references
}

// NewPrunePlan is pure. images are the references that the host holds, of any repository.
func NewPrunePlan(app App, retain int, o Observed, images []string) PrunePlan {
	p := PrunePlan{Host: o.Host}
	stopped := map[string][]Deployed{}
	needed := map[string]bool{}
	serves := map[string]string{} // role -> release
	for _, d := range o.Deployed {
		current := o.Current(d.Role)
		switch {
		case o.Serves(d):
			needed[d.Image], serves[d.Role] = true, d.Release.ID
		case !d.Committed():
			p.Clear = append(p.Clear, Stop{Container: d, Cause: "left by a run that did not finish"})
		case d.Running && len(current) == 0: // what it is for cannot be told: better one too many than the one that serves
			needed[d.Image] = true
		case d.Running:
			p.Stop = append(p.Stop, Stop{Container: d, Cause: "replaced"})
			stopped[d.Role] = append(stopped[d.Role], d)
		default:
			stopped[d.Role] = append(stopped[d.Role], d)
		}
	}
	p.Prune, _ = planPrune(retain, stopped, serves, "")
	gone := map[string]bool{}
	for _, d := range p.Prune {
		gone[d.ID] = true
	}
	for _, ds := range stopped {
		for _, d := range ds {
			needed[d.Image] = needed[d.Image] || !gone[d.ID]
		}
	}
	for _, ref := range images {
		if strings.HasPrefix(ref, "ship/"+app.Name()+":") && !needed[ref] {
			p.Images = append(p.Images, ref)
		}
	}
	return p
}

// Prune observes the hosts and removes from each what its plan names. It returns the plans. A host whose proxy cannot
// say what serves is refused.
func Prune(ctx context.Context, app App, hosts []Host, retain int, emit event.Func) ([]PrunePlan, error) {
	found, err := Observe(ctx, app, hosts)
	if err != nil {
		return nil, err
	}
	for _, o := range found {
		if o.Proxy.Err != nil || o.Proxy.Exists && !o.Proxy.Running {
			return nil, &HostError{Host: o.Host, Step: "prune", Err: &RefusedError{
				Cause: "its proxy does not say what serves", Help: "`ship deploy` starts it; see `ship proxy status`"}}
		}
	}
	plans := make([]PrunePlan, len(hosts))
	err = eachHost(hosts, func(i int, h Host) error {
		list, err := h.Engine.ListImages(ctx)
		if err != nil {
			return onHost(h.Name, "list images", err)
		}
		var refs []string
		for _, s := range list {
			refs = append(refs, s.RepoTags...)
		}
		plans[i] = NewPrunePlan(app, retain, found[i], refs)
		r := &run{Inputs: Inputs{Emit: emit}}
		return onHost(h.Name, "prune", r.prune(ctx, h, plans[i]))
	})
	return plans, err
}

func (r *run) prune(ctx context.Context, h Host, p PrunePlan) error {
	var errs []error
	note := func(what string, err error) {
		if err == nil {
			r.Emit.Emit(event.Event{Type: event.Message, Host: h.Name, Phase: "prune", Item: what, Text: "removed " + what})
		} else if !errors.Is(err, docker.ErrNotFound) && !errors.Is(err, docker.ErrConflict) {
			errs = append(errs, err)
		}
	}
	for _, s := range p.Stop {
		if err := r.stopOld(ctx, h, s); err != nil {
			errs = append(errs, err)
		}
	}
	for _, s := range p.Clear {
		note(s.Container.Name, h.Engine.RemoveContainer(ctx, s.Container.ID, true))
	}
	for _, d := range p.Prune {
		note(d.Name, h.Engine.RemoveContainer(ctx, d.ID, false))
	}
	for _, ref := range p.Images {
		note(ref, h.Engine.RemoveImage(ctx, ref))
	}
	return errors.Join(errs...)
}
