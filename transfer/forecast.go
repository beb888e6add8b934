package transfer

import (
	"context"
	"sync"
	"time"

	"ship/layers"
)

// How a layer gets to a host.
const (
	HowHeld  = "held"  // it is there
	HowWhole = "whole" // compressed
	HowPatch = "patch" // against an older one that the host has; how large it is shows when it is made
	HowMoved = "moved" // from where the host has it in another image: nothing is sent
)

// Forecast is what a push would do, in bytes. All sizes are compressed and estimates, unless the source knows them.
type Forecast struct {
	Hosts   []HostForecast `json:"hosts"`
	Uplink  int64          `json:"uplink"`            // bytes that would leave this machine, at most: patches count as whole layers
	Peers   int64          `json:"peers"`             // bytes that hosts would get from each other
	Unknown int            `json:"unknown,omitempty"` // layers to be sent whose size is not known: they are in no sum
	Took    time.Duration  `json:"took_ns,omitempty"` // that the uplink would be busy; 0 = its rate is not known
}

// HostForecast is the forecast for one host.
type HostForecast struct {
	Host    string          `json:"host"`
	Helper  bool            `json:"helper"` // a helper would be started
	Disk    int64           `json:"disk"`   // bytes needed there for a time, and after
	Free    int64           `json:"free"`   // bytes free below the engine's data root; -1 = not known
	Layers  []LayerForecast `json:"layers"` // bottom first
	Refused string          `json:"refused,omitempty"`
	Error   string          `json:"error,omitempty"`
	Err     error           `json:"-"` // Refused or Error, to branch on
}

// LayerForecast is the forecast for one layer on one host.
type LayerForecast struct {
	DiffID string `json:"diff_id"`
	How    string `json:"how"`
	From   string `json:"from,omitempty"` // the host that makes the blob; "" = this machine, or nobody
	Bytes  int64  `json:"bytes"`          // on the wire to this host, from wherever; of a patch the whole layer's, as a bound; -1 = not known
	Base   string `json:"base,omitempty"` // of a patch, the layer that it starts from
}

// Survey asks all hosts and tells what Push would do. It changes nothing.
func Survey(ctx context.Context, hosts []Host, src layers.Source, opt Options) (Forecast, error) {
	if _, err := layers.FamiliarRef(opt.Tag); err != nil {
		return Forecast{}, err
	}
	p := newPush(hosts, src, opt.complete(len(hosts)))
	asked := make([]surveyed, len(hosts))
	slots := make(chan struct{}, p.Parallel)
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			asked[i] = p.survey(ctx, i, h)
		})
	}
	wg.Wait()
	return newForecast(asked, p.sources(ctx), p.Options), nil
}

// surveyed is one host's answer.
type surveyed struct {
	host  string
	to    *routable // nil = it gave none
	bases map[int]base
	err   error
}

func (p *push) survey(ctx context.Context, i int, h Host) surveyed {
	a := attempt{push: p, host: h, index: i, tell: &progress{emit: p.Emit, host: h.Name}, result: &Result{}}
	asked, err := a.ask(ctx, newRun())
	if err != nil {
		return surveyed{host: h.Name, err: onHost(h.Name, "ask", err)}
	}
	if tag := asked.Holding.probed; tag != "" { // a question leaves nothing behind
		a.tidy(ctx, []string{tag})
	}
	plan := newHostPlan(asked, p.DiskFactor, p.small)
	s := surveyed{host: h.Name, to: &routable{plan: plan, group: h.Group, helper: p.crew.can(h)}}
	if len(plan.Missing) > 0 {
		s.bases = a.bases(ctx, plan)
	}
	return s
}

// newForecast works out what goes where; it is pure.
func newForecast(hosts []surveyed, sources []*routable, o Options) Forecast {
	all := make([]*routable, 0, len(hosts)+len(sources))
	for _, s := range hosts {
		if s.to != nil && s.to.plan.Refused != nil {
			s.to = nil // it takes no part
		}
		all = append(all, s.to)
	}
	routes := newRoutes(append(all, sources...))
	var f Forecast
	sent := make(map[string]bool) // blobs that leave here, by group
	for i, s := range hosts {
		h := HostForecast{Host: s.host, Free: -1}
		if s.err != nil {
			h.Error, h.Err = s.err.Error(), s.err
		}
		if s.to != nil {
			h.Helper, h.Free = routes[i].Helper, s.to.plan.Holding.Free
			f.host(&h, s, routes[i], o, sent)
		}
		f.Hosts = append(f.Hosts, h)
	}
	if o.Uplink > 0 {
		f.Took = time.Duration(float64(f.Uplink) / float64(o.Uplink) * float64(time.Second))
	}
	return f
}

func (f *Forecast) host(h *HostForecast, s surveyed, r Route, o Options, sent map[string]bool) {
	plan := s.to.plan
	if plan.Refused != nil {
		h.Refused, h.Err = plan.Refused.Cause, plan.Refused
	}
	h.Disk = plan.Need
	missing := make(map[int]bool, len(plan.Missing))
	for _, i := range plan.Missing {
		missing[i] = true
	}
	for i, l := range plan.Image.Layers {
		x := LayerForecast{DiffID: string(l.DiffID), How: HowHeld}
		if missing[i] {
			x = forecastLayer(plan, i, s.bases, r, o)
		}
		h.Layers = append(h.Layers, x)
		if r.Helper && x.How != HowHeld && x.How != HowMoved {
			h.Disk += max(x.Bytes, 0) // its chunks, until the end
		}
		if plan.Refused == nil {
			f.count(x, s.to.group, r.Helper && !o.Star, o.Star, sent)
		}
	}
}

func forecastLayer(plan HostPlan, i int, bases map[int]base, r Route, o Options) LayerForecast {
	l := plan.Image.Layers[i]
	c := choose(plan, i, bases, r, o)
	x := LayerForecast{DiffID: string(l.DiffID), How: c.how, From: c.from, Bytes: sendSize(l.Blob)}
	if x.Bytes == 0 && l.Blob.Size < 0 {
		x.Bytes = -1
	}
	switch c.how {
	case HowMoved:
		x.Bytes = 0
	case HowPatch:
		x.Base = string(c.base.diffID)
	}
	return x
}

// count adds a layer to the sums: what hosts of a group exchange leaves here once.
func (f *Forecast) count(x LayerForecast, group string, shared, star bool, sent map[string]bool) {
	key := group + " " + x.How + x.Base + x.DiffID
	switch {
	case x.How == HowHeld || x.How == HowMoved:
	case x.Bytes < 0:
		f.Unknown++
	case x.From != "" && !star || shared && sent[key]:
		f.Peers += x.Bytes
	default: // also what a host makes, if hosts are not to talk to each other: it comes by here
		f.Uplink += x.Bytes
		sent[key] = sent[key] || shared
	}
}
