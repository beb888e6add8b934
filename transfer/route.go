package transfer

import (
	"context"
	"sync"
	"time"

	"ship/layers"
)

const (
	// helperLeast: a host that lacks less, in bytes, is served without a helper, which takes half a second to start.
	helperLeast = 1 << 20
	// seedLeast: a smaller layer, in bytes, costs less to send than to read on another host.
	seedLeast = 256 << 10
	// gatherPatience is how long the first answer waits for those of the other hosts.
	gatherPatience = 2 * time.Second
)

// Route says how a host gets its layers. A plan for the whole fleet makes it, for what one host holds, others need not
// be sent from here.
type Route struct {
	Helper  bool           // through a helper, in a swarm; else inside the archive of a plain load
	Sources map[int]string // by layer: the host that makes the blob; the others are made here
}

// routable is what routes are made of: a host's plan, and what the caller says of the host.
type routable struct {
	plan   HostPlan
	group  string
	helper bool // one can be tried
	forced bool // and shall be, whatever it is worth
}

// newRoutes decides for all hosts, by index. A host without an answer (nil) is no source and gets no route.
func newRoutes(hosts []*routable) []Route {
	routes := make([]Route, len(hosts))
	for i, h := range hosts {
		if h == nil || h.plan.Refused != nil || !h.helper {
			continue
		}
		routes[i].Helper = len(h.plan.Loads) > 0 && len(h.plan.Missing) > 0 && (h.forced || unknownOrLarge(h.plan))
	}
	for i, h := range hosts {
		if !routes[i].Helper {
			continue
		}
		for _, l := range h.plan.Missing {
			if from := sourceOf(hosts, i, h.plan.Image.Layers[l]); from != "" {
				if routes[i].Sources == nil {
					routes[i].Sources = make(map[int]string)
				}
				routes[i].Sources[l] = from
			}
		}
	}
	return routes
}

// choice is how a layer gets to a host that lacks it.
type choice struct {
	how  string // HowWhole, HowPatch or HowMoved
	base base   // of a patch, or where it is moved from
	from string // of a whole one, the host that makes the blob; "" = it is made here
}

// choose decides for layer i of a plan, for a push and for its forecast alike.
func choose(plan HostPlan, i int, bases map[int]base, r Route, o Options) choice {
	l := plan.Image.Layers[i]
	b, ok := bases[i]
	switch {
	case !r.Helper:
		return choice{how: HowWhole}
	case ok && b.diffID == l.DiffID:
		return choice{how: HowMoved, base: b}
	case ok && r.Sources[i] == "" && worthPatch(o.Delta, l.Blob, o.Uplink):
		return choice{how: HowPatch, base: b}
	}
	return choice{how: HowWhole, from: r.Sources[i]}
}

// unknownOrLarge: what is to be sent is worth a helper, or may be.
func unknownOrLarge(p HostPlan) bool {
	if p.Send >= helperLeast {
		return true
	}
	for _, i := range p.Missing {
		if b := p.Image.Layers[i].Blob; b.Size < 0 && b.Estimate == 0 {
			return true
		}
	}
	return false
}

// sourceOf finds a host that holds the layer and may talk to host to: the first one, so that all have the same.
func sourceOf(hosts []*routable, to int, l layers.Layer) string {
	if n := sendSize(l.Blob); n > 0 && n < seedLeast {
		return ""
	}
	for i, h := range hosts {
		if i == to || h == nil || !h.helper || h.group != hosts[to].group {
			continue
		}
		if holds(h.plan, l.DiffID) {
			return h.plan.Host
		}
	}
	return ""
}

// holds tells whether the host's engine has the layer, as far as a source can read it.
func holds(p HostPlan, d layers.DiffID) bool {
	missing := make(map[int]bool, len(p.Missing))
	for _, i := range p.Missing {
		missing[i] = true
	}
	for i, l := range p.Image.Layers {
		if l.DiffID == d {
			return !missing[i]
		}
	}
	return false
}

// gathering collects the answers of all hosts, so that routes are made of all that came in time.
type gathering struct {
	mu    sync.Mutex
	hosts []*routable
	told  []bool
	left  int
	all   chan struct{} // closed with the last answer
}

func newGathering(n int) *gathering {
	return &gathering{hosts: make([]*routable, n), told: make([]bool, n), left: n, all: make(chan struct{})}
}

// tell gives host i's answer; nil = there is none. Only the first word of a host counts.
func (g *gathering) tell(i int, r *routable) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.told[i] {
		return
	}
	g.told[i], g.hosts[i] = true, r
	if g.left--; g.left == 0 {
		close(g.all)
	}
}

// route waits for the others, but not for long, and returns the route of host i.
func (g *gathering) route(ctx context.Context, i int, r *routable) Route {
	g.tell(i, r)
	late := time.NewTimer(gatherPatience)
	defer late.Stop()
	select {
	case <-g.all:
	case <-late.C:
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hosts[i] = r // what it holds may have changed since it was asked first
	return newRoutes(g.hosts)[i]
}
