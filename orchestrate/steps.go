package orchestrate

import (
	"fmt"
	"strings"
)

// Step is one line of a plan.
type Step struct {
	Host  string `json:"host"`
	Act   string `json:"act"`
	What  string `json:"what"`
	Cause string `json:"cause"`
}

// Steps lists what the plan does, in the order of its phases: ship, prepare, switch, clean up.
func (p Plan) Steps() []Step {
	var steps []Step
	for _, hp := range p.Hosts {
		if hp.Ship != "" {
			steps = append(steps, Step{hp.Host, "ship", "image " + p.Desired.Release.String(), hp.Ship})
		}
		switch hp.Proxy {
		case ProxyReady:
		case ProxySettle:
			steps = append(steps, Step{hp.Host, "settle proxy", ProxyName, "the run that upgraded it did not finish"})
		default:
			steps = append(steps, Step{hp.Host, string(hp.Proxy) + " proxy", ProxyName, "it does not run"})
		}
	}
	for _, hp := range p.Hosts {
		for _, s := range hp.Clear {
			steps = append(steps, Step{hp.Host, "remove", s.Container.Name, s.Cause})
		}
		for _, c := range hp.Certify {
			steps = append(steps, Step{hp.Host, "certify", c.Role, c.Cause})
		}
		for _, e := range hp.Enrol {
			steps = append(steps, Step{hp.Host, "enrol", e.Role, e.Cause})
		}
		for _, u := range hp.Units {
			if u.Act != Keep {
				steps = append(steps, Step{hp.Host, string(u.Act), u.name() + " " + u.Release.String(), u.Cause})
			}
		}
	}
	for n, group := range p.Groups {
		for _, i := range group {
			for _, u := range p.Hosts[i].Units {
				if u.Switch || u.Act != Keep && u.Settings.Service == nil {
					steps = append(steps, Step{p.Hosts[i].Host, "switch", p.Hosts[i].switching(u), groupName(n, len(p.Groups))})
				}
			}
		}
	}
	for _, hp := range p.Hosts {
		for _, d := range hp.Adopt {
			steps = append(steps, Step{hp.Host, "adopt", d.Name, "the run that switched to it did not finish"})
		}
		for _, s := range hp.Stop {
			steps = append(steps, Step{hp.Host, "stop", s.Container.Name, s.Cause})
		}
		for _, d := range hp.Prune {
			cause := fmt.Sprintf("beyond the %d to retain", p.Desired.Retain)
			if d.Replica > 0 {
				cause = "one container of a release is enough to come back to it"
			}
			steps = append(steps, Step{hp.Host, "prune", d.Name, cause})
		}
	}
	return steps
}

// Text is the plan as people and tests read it: one step a line.
func (p Plan) Text() string {
	var b strings.Builder
	for _, s := range p.Steps() {
		fmt.Fprintf(&b, "%s: %s %s (%s)\n", s.Host, s.Act, s.What, s.Cause)
	}
	return b.String()
}

// switching is what a unit's switch leads to.
func (hp HostPlan) switching(u UnitPlan) string {
	what := u.name() + " " + from(u.Previous) + u.Release.String()
	n := 0
	for _, v := range hp.Units {
		if v.Role == u.Role {
			n++
		}
	}
	switch {
	case u.Switch && n > 1:
		return fmt.Sprintf("%s, %d replicas", what, n)
	case u.Act == Keep:
		return what + ", 1 replica"
	}
	return what
}

func from(d *Deployed) string {
	if d == nil {
		return ""
	}
	return d.Release.String() + " → "
}

func groupName(n, of int) string {
	if of == 1 {
		return "every host is ready"
	}
	return fmt.Sprintf("every host is ready; group %d of %d", n+1, of)
}

// Changes says whether the plan does anything at all.
func (p Plan) Changes() bool { return len(p.Steps()) > 0 }
