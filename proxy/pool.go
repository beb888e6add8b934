package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// maxTargets bounds the replicas of a service on one host.
const maxTargets = 64

// pool is the targets that serve together: replicas of one release. They come and leave at once.
type pool struct {
	all  []*upstream
	turn atomic.Uint32 // whose turn it is among those that have equally little to do
}

// claim counts a request in with the target that has the fewest in flight, of those that are well if there are any. nil: the
// pool has left.
func (p *pool) claim() *upstream {
	u := p.all[0]
	if len(p.all) > 1 {
		u = p.pick(func(*upstream) bool { return true })
	}
	if !u.claim() {
		return nil
	}
	return u
}

// other is claim among those that are well and were not tried; nil: there is none.
func (p *pool) other(tried []*upstream) *upstream {
	u := p.pick(func(u *upstream) bool { return u.fitness() == fit && !slices.Contains(tried, u) })
	if u == nil || !u.claim() {
		return nil
	}
	return u
}

func (p *pool) pick(may func(*upstream) bool) (best *upstream) {
	var well fitness
	var least int64
	first := int(p.turn.Add(1))
	for i := range p.all {
		u := p.all[(first+i)%len(p.all)]
		if !may(u) {
			continue
		}
		f, n := u.fitness(), u.inFlight.Load()
		if best == nil || f < well || f == well && n < least {
			best, well, least = u, f, n
		}
	}
	return best
}

// fitness orders targets by what may be expected of them: less is better.
type fitness int

const (
	fit      fitness = iota
	refusing         // the last request found no connection, and no check has found it well since
	out              // ejected
)

func (u *upstream) fitness() fitness {
	switch {
	case u.ejected():
		return out
	case u.since.Load() != 0:
		return refusing
	}
	return fit
}

// targets are all of a release on this host.
func (p placed) targets() []Target { return append([]Target{p.Target}, p.More...) }

// checkTargets refuses what cannot be told apart: a drain names a target by its ID.
func (p placed) checkTargets() error {
	all := p.targets()
	if len(all) > maxTargets {
		return fmt.Errorf("%d targets, at most %d are allowed", len(all), maxTargets)
	}
	for i, t := range all {
		if err := t.check(); err != nil {
			return err
		}
		if slices.ContainsFunc(all[:i], func(o Target) bool { return o.ID == t.ID || o.Address == t.Address }) {
			return errors.New("the same target is named twice")
		}
	}
	return nil
}

// awaitAll is await for all targets of a release. The first that does not become healthy ends it.
func (c checker) awaitAll(ctx context.Context, p placed, on func(Attempt)) error {
	var one sync.Mutex
	tell := func(a Attempt) {
		one.Lock()
		defer one.Unlock()
		on(a)
	}
	all, ctx := errgroup.WithContext(ctx)
	for _, t := range p.targets() {
		all.Go(func() error { return c.await(ctx, t, p.Service, tell) })
	}
	return all.Wait()
}

// checkAll asks each target of a release once, in their order.
func (c checker) checkAll(ctx context.Context, p placed) []Attempt {
	targets := p.targets()
	out := make([]Attempt, len(targets))
	var all sync.WaitGroup
	for i, t := range targets {
		all.Go(func() { out[i] = c.check(ctx, t, p.Service) })
	}
	all.Wait()
	return out
}
