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
				steps = append(steps, Step{hp.Host, string(u.Act), u.Role + " " + u.Release.String(), u.Cause})
			}
		}
	}
	for n, group := range p.Groups {
		for _, i := range group {
			for _, u := range p.Hosts[i].Units {
				if u.Act != Keep {
					steps = append(steps, Step{p.Hosts[i].Host, "switch", u.Role + " " + from(u.Previous) + u.Release.String(), groupName(n, len(p.Groups))})
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
			steps = append(steps, Step{hp.Host, "prune", d.Name, fmt.Sprintf("beyond the %d to retain", p.Desired.Retain)})
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
