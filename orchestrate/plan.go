package orchestrate

import (
	"fmt"
	"slices"
	"time"
)

// Desired is what the fleet should run.
type Desired struct {
	App          App
	Release      Release
	Units        map[string][]Unit // by host name
	Group        int               // hosts that are switched at once; at least 1
	Wait         time.Duration     // between two groups
	Watch        time.Duration     // after the last one; see watch
	Retain       int               // stopped containers to keep per role and host, for rollbacks
	HTTPPort     int               // that the proxy listens on
	HTTPSPort    int               // the same for https
	Automatic    []Automatic       // of roles whose certificates an authority issues
	Certificates []Certificate     // of roles with TLS; a role without one keeps what its proxy has
	Orphans      bool              // stop roles that are no longer wanted
	ErrorPages   map[string][]byte // by hash; see SetErrorPages
}

// UnitAct is what a plan does about one unit.
type UnitAct string

const (
	Start UnitAct = "start" // create and start a new container
	Reuse UnitAct = "reuse" // a run that did not finish has started it already
	Keep  UnitAct = "keep"  // it serves already
)

// UnitPlan is one unit, what to do about it, and why.
type UnitPlan struct {
	Unit
	Act      UnitAct
	Cause    string
	Existing *Deployed // for Reuse and Keep
	Previous *Deployed // what serves the role now in its place; nil if nothing does
	Switch   bool      // the role's containers are switched to: on one unit of each role, if any of them is another than now
}

// Stop is an old container, to be stopped after the whole fleet has switched.
type Stop struct {
	Container Deployed
	Cause     string
	Unroute   bool // nothing takes its place in the proxy: its route goes with it
}

// ProxyAct is what a plan does about a host's proxy.
type ProxyAct string

const (
	ProxyReady ProxyAct = ""
	ProxyBoot  ProxyAct = "boot"  // there is none
	ProxyStart ProxyAct = "start" // it is there, and stopped

	ProxySettle ProxyAct = "settle" // an upgrade was begun, and its run died
)

// HostPlan is all that a plan does on one host. Ship and Proxy come before the fleet's switch, Stop and Prune after.
type HostPlan struct {
	Host    string
	Ship    string // why the host is asked for the release's image and sent what it lacks; "" = not needed
	Proxy   ProxyAct
	Clear   []Stop // leftovers of runs that did not finish: removed first
	Units   []UnitPlan
	Certify []Certify
	Enrol   []Enrol
	Adopt   []Deployed // serve already, but the run that switched to them died before it could say so
	Stop    []Stop
	Prune   []Deployed // stopped containers beyond Retain
	Images  []string   // references that no container needs after that
	Swept   bool       // proxies that were replaced are removed, if they have ended
}

// Plan is what a run will do, decided before anything is done. It is made of values only, and compared as text.
type Plan struct {
	Desired Desired
	Hosts   []HostPlan
	Groups  [][]int // cutover groups: indexes of Hosts
	Seen    int64   // the highest generation that was found
}

// NewPlan compares what is wanted with what was found. It is pure. Refusals are all that would stop the run, found
// before anything is changed; the plan must not be executed if there are any.
func NewPlan(want Desired, found []Observed) (p Plan, refusals []error) {
	p.Desired = want
	refusals = twins(found)
	for _, o := range found {
		p.Seen = max(p.Seen, o.Generation())
		hp := planHost(want, o)
		p.Hosts = append(p.Hosts, hp)
		for _, r := range preflight(want, o, hp) {
			refusals = append(refusals, &HostError{Host: o.Host, Step: "preflight", Err: r})
		}
	}
	var group []int
	for i, hp := range p.Hosts {
		if !hp.switches() {
			continue
		}
		if group = append(group, i); len(group) >= max(1, want.Group) {
			p.Groups, group = append(p.Groups, group), nil
		}
	}
	if len(group) > 0 {
		p.Groups = append(p.Groups, group)
	}
	return p, refusals
}

func planHost(want Desired, o Observed) HostPlan {
	hp := HostPlan{Host: o.Host, Swept: o.Proxy.Retired > 0}
	used := map[string]bool{}      // containers that the plan goes on with
	current := map[string]string{} // role -> release it will serve
	for _, u := range want.Units[o.Host] {
		up := planUnit(u, &o)
		if up.Existing != nil {
			used[up.Existing.ID] = true
		}
		if up.Act != Keep {
			hp.Ship = "new containers need " + u.Release.String()
		} else if up.Existing.Spec.Restart == "no" {
			hp.Adopt = append(hp.Adopt, *up.Existing)
		}
		if u.Settings.Service != nil {
			hp.Proxy = planProxy(o.Proxy)
		}
		if current[u.Role] == "" { // once for all replicas
			hp.Certify = append(hp.Certify, planCertify(want, u, o)...)
			hp.Enrol = append(hp.Enrol, planEnrol(want, u, o)...)
		}
		current[u.Role] = u.Release.ID
		hp.Units = append(hp.Units, up)
	}
	planSwitch(hp.Units, &o)
	stopped := map[string][]Deployed{}
	for _, d := range o.Deployed {
		switch {
		case used[d.ID]:
		case current[d.Role] == "" && !want.Orphans:
		case !d.Committed():
			hp.Clear = append(hp.Clear, Stop{Container: d, Cause: "left by a run that did not finish"})
		case d.Running:
			hp.Stop = append(hp.Stop, planStop(hp, d))
			stopped[d.Role] = append(stopped[d.Role], d)
		default:
			stopped[d.Role] = append(stopped[d.Role], d)
		}
	}
	hp.Prune, hp.Images = planPrune(want.Retain, stopped, current, want.App.ImageRef(want.Release))
	return hp
}

func planProxy(p ObservedProxy) ProxyAct {
	switch {
	case p.Unfinished:
		return ProxySettle
	case !p.Exists:
		return ProxyBoot
	case !p.Running:
		return ProxyStart
	}
	return ProxyReady
}

// planStop says why a running container goes. If its role is no longer behind the proxy, its route goes too.
func planStop(hp HostPlan, d Deployed) Stop {
	for _, u := range hp.Units {
		if u.Role == d.Role {
			s := Stop{Container: d, Cause: "replaced", Unroute: d.Serving && u.Settings.Service == nil}
			if !slices.ContainsFunc(hp.Units, func(u UnitPlan) bool { return u.Role == d.Role && u.Replica == d.Replica }) {
				s.Cause = fmt.Sprintf("replica %d is no longer wanted", d.Replica+1)
			}
			return s
		}
	}
	return Stop{Container: d, Cause: "role " + d.Role + " is no longer wanted here", Unroute: d.Serving}
}

// planUnit finds the container that already is what u asks for, or asks for a new one.
func planUnit(u Unit, o *Observed) UnitPlan {
	up := UnitPlan{Unit: u, Previous: replicaOf(o.Current(u.Role), u.Replica), Act: Start}
	if c := up.Previous; c != nil && c.Hash == u.Hash() && c.Running && c.Health != "unhealthy" {
		up.Act, up.Existing, up.Cause = Keep, c, "runs already"
		return up
	}
	for i := range o.Deployed {
		d := &o.Deployed[i]
		if d.Role == u.Role && d.Replica == u.Replica && d.Hash == u.Hash() && d.Running && !d.Restarting && !d.Committed() {
			up.Act, up.Existing, up.Cause = Reuse, d, "a run that did not finish has started it"
			return up
		}
	}
	switch c := up.Previous; {
	case c == nil && len(o.Current(u.Role)) > 0:
		up.Cause = "fewer run than are wanted"
	case c == nil:
		up.Cause = "nothing serves the role yet"
	case !c.Running:
		up.Cause = "what should serve is " + c.State
	case c.Release.ID != u.Release.ID:
		up.Cause = "runs " + c.Release.String()
	case c.Health == "unhealthy":
		up.Cause = "what serves is unhealthy"
	default:
		up.Cause = "its settings changed"
	}
	return up
}

// planSwitch marks the first unit of each role behind the proxy whose containers will be others, or fewer, than serve now.
func planSwitch(units []UnitPlan, o *Observed) {
	for _, i := range firsts(units) {
		serving := len(o.Current(units[i].Role))
		for _, u := range units {
			if u.Role == units[i].Role {
				serving--
				units[i].Switch = units[i].Switch || u.Act != Keep
			}
		}
		units[i].Switch = units[i].Settings.Service != nil && (units[i].Switch || serving != 0)
	}
}

// firsts are the first units of their roles.
func firsts(units []UnitPlan) (all []int) {
	seen := map[string]bool{}
	for i, u := range units {
		if !seen[u.Role] {
			seen[u.Role], all = true, append(all, i)
		}
	}
	return all
}

// changes says whether anything is done about the unit.
func (u UnitPlan) changes() bool { return u.Act != Keep || u.Switch }

// planPrune keeps the newest container of each of the last releases beside the role's current one, and names the rest,
// with the images that only they need.
func planPrune(retain int, stopped map[string][]Deployed, current map[string]string, image string) (prune []Deployed, images []string) {
	needed := map[string]bool{image: true}
	for _, role := range sortedKeys(stopped) {
		ds := stopped[role]
		sortDeployed(ds)
		kept := map[string]bool{current[role]: true} // "" for a role without one: no release has that ID
		for _, d := range ds {
			if kept[d.Release.ID] || len(kept)-1 >= retain {
				prune = append(prune, d)
				continue
			}
			kept[d.Release.ID], needed[d.Image] = true, true
		}
	}
	for _, d := range prune {
		if !needed[d.Image] && !slices.Contains(images, d.Image) {
			images = append(images, d.Image)
		}
	}
	return prune, images
}

// proxied says whether any of the host's units is behind the proxy.
func (hp HostPlan) proxied() bool {
	return slices.ContainsFunc(hp.Units, func(u UnitPlan) bool { return u.Settings.Service != nil })
}

// switches says whether the host changes what it serves.
func (hp HostPlan) switches() bool {
	return slices.ContainsFunc(hp.Units, UnitPlan.changes)
}

// BootsProxy says whether any host needs the proxy's image.
func (p Plan) BootsProxy() bool {
	return slices.ContainsFunc(p.Hosts, func(hp HostPlan) bool { return hp.Proxy == ProxyBoot })
}
