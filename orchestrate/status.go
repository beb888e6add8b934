package orchestrate

import (
	"time"

	"ship/proxy"
)

// StatusRow is one container of the app, as `ship status` shows it.
type StatusRow struct {
	Host      string    `json:"host"`
	Role      string    `json:"role"`
	Release   Release   `json:"release"`
	Container string    `json:"container"`
	State     string    `json:"state"`                 // running, exited, ...
	Health    string    `json:"health"`                // as the proxy sees it (healthy, failing, ejected, unknown), else as Docker does, else ""
	Answer    string    `json:"answer,omitempty"`      // to the proxy's last check: foreign text, to be cleaned by whoever shows it
	HealthAt  time.Time `json:"health_since,omitzero"` // since when it is as it is
	Traffic   string    `json:"traffic"`               // serving, draining, standby (retained for a rollback), leftover (of a broken run)
	InFlight  int       `json:"in_flight"`
	Since     time.Time `json:"since"`

	Halt *proxy.Halt `json:"halt,omitempty"` // the proxy keeps requests from the container that serves
}

// Status makes rows of what was observed, newest generation first on each host.
func Status(app App, found []Observed) []StatusRow {
	var rows []StatusRow
	for i := range found {
		o := &found[i]
		for _, d := range o.Deployed {
			rows = append(rows, statusRow(app, o, d))
		}
	}
	return rows
}

func statusRow(app App, o *Observed, d Deployed) StatusRow {
	row := StatusRow{Host: o.Host, Role: d.Role, Release: d.Release, Container: d.Name, State: d.State, Health: d.Health, Since: d.StartedAt}
	if !d.Running {
		row.Since = d.FinishedAt
	}
	switch {
	case o.Serves(d):
		row.Traffic = "serving"
	case !d.Committed():
		row.Traffic = "leftover"
	case d.Running:
		row.Traffic = "draining"
	default:
		row.Traffic = "standby"
	}
	if s, ok := o.Proxy.service(app.proxyService(d.Role)); ok && d.Serving {
		t := target(s, d.ID)
		row.Health, row.Answer, row.HealthAt, row.InFlight = t.Health, t.Last, t.Since, t.InFlight
		row.Halt = s.Halt
	}
	return row
}

// Mixed says whether the hosts serve more than one release.
func Mixed(found []Observed) bool {
	ids := map[string]bool{}
	for i := range found {
		for _, d := range found[i].Deployed {
			for _, c := range found[i].Current(d.Role) {
				ids[c.Release.ID] = true
			}
		}
	}
	return len(ids) > 1
}
