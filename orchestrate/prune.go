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
	Clear  []Stop
	Prune  []Deployed
	Images []string // references
}

// NewPrunePlan is pure. images are the references that the host holds, of any repository.
func NewPrunePlan(app App, retain int, o Observed, images []string) PrunePlan {
	p := PrunePlan{Host: o.Host}
	stopped := map[string][]Deployed{}
	needed := map[string]bool{}
	for _, d := range o.Deployed {
		current := o.Current(d.Role)
		switch {
		case current != nil && current.ID == d.ID:
			needed[d.Image] = true
		case !d.Committed():
			p.Clear = append(p.Clear, Stop{d, "left by a run that did not finish"})
		case d.Running:
			p.Clear = append(p.Clear, Stop{d, "replaced, but still running"})
		default:
			stopped[d.Role] = append(stopped[d.Role], d)
		}
	}
	p.Prune, _ = planPrune(retain, stopped, "")
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

// Prune observes the hosts and removes from each what its plan names. It returns the plans.
func Prune(ctx context.Context, app App, hosts []Host, retain int, emit event.Func) ([]PrunePlan, error) {
	found, err := Observe(ctx, app, hosts)
	if err != nil {
		return nil, err
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
		return onHost(h.Name, "prune", pruneHost(ctx, h, plans[i], emit))
	})
	return plans, err
}

func pruneHost(ctx context.Context, h Host, p PrunePlan, emit event.Func) error {
	var errs []error
	note := func(what string, err error) {
		if err == nil {
			emit.Emit(event.Event{Type: event.Message, Host: h.Name, Phase: "prune", Item: what, Text: "removed " + what})
		} else if !errors.Is(err, docker.ErrNotFound) && !errors.Is(err, docker.ErrConflict) {
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
