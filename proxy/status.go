package proxy

import (
	"slices"
	"strings"
	"time"
)

// Status is all that a proxy knows of itself.
type Status struct {
	Version  string            `json:"version"`
	Instance string            `json:"instance,omitempty"` // of the process; "": one that cannot hand over
	Services []ServiceStatus   `json:"services"`
	Bad      map[string]string `json:"bad,omitempty"`   // services that do not serve, for their state cannot be read
	Rests    []Status          `json:"rests,omitempty"` // proxies that have handed over to this one, and still have requests
}

// ServiceStatus is one service.
type ServiceStatus struct {
	Service
	Generation int64          `json:"generation"`
	Active     *TargetStatus  `json:"active"`         // nil: none
	More       []TargetStatus `json:"more,omitempty"` // further replicas
	Previous   *Target        `json:"previous,omitempty"`
	Draining   []TargetStatus `json:"draining,omitempty"`
	Halt       *Halt          `json:"halt,omitempty"`        // nil: requests are served
	Held       int            `json:"held,omitempty"`        // requests that wait for the end of a pause
	TLSCert    *Certificate   `json:"certificate,omitempty"` // nil: it is not reached by https
	ACME       *ACMEStatus    `json:"acme,omitempty"`        // nil: its certificate is not the proxy's affair
}

// TargetStatus is one target.
type TargetStatus struct {
	Target
	Health   string    `json:"health"` // healthy, failing (and still served), ejected, unknown (not asked yet)
	Since    time.Time `json:"since,omitzero"`
	Last     string    `json:"last,omitempty"`     // what it answered to the last check
	Failures int       `json:"failures,omitempty"` // in a row
	InFlight int       `json:"in_flight"`
	Answered int64     `json:"answered,omitempty"` // requests, by the target itself, since it is active or the proxy runs
	Failed   int64     `json:"failed,omitempty"`   // of those, with 5xx
}

func (m *manager) status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	st := Status{Version: m.version, Instance: m.instance, Services: []ServiceStatus{}}
	for name, err := range m.bad {
		if st.Bad == nil {
			st.Bad = map[string]string{}
		}
		st.Bad[name] = printable(err.Error(), 200)
	}
	for _, s := range m.services {
		s.sweep()
		if s.live == nil {
			continue
		}
		v := ServiceStatus{Service: s.live.Service, Generation: s.record.Generation, Active: s.live.targets.all[0].status(), Halt: s.valve.state(), Held: int(s.valve.held.Load()), TLSCert: m.certs.of(s.live.Service, time.Now()), ACME: m.acmeStatus(s.live.Service)}
		for _, u := range s.live.targets.all[1:] {
			v.More = append(v.More, *u.status())
		}
		if v.BasicAuth != nil { // the hash is nobody's to see
			v.BasicAuth = &BasicAuth{User: v.BasicAuth.User}
		}
		if s.record.Previous != nil {
			v.Previous = &s.record.Previous.Target
		}
		for _, u := range s.leaving {
			v.Draining = append(v.Draining, *u.status())
		}
		st.Services = append(st.Services, v)
	}
	slices.SortFunc(st.Services, func(a, b ServiceStatus) int { return strings.Compare(a.Name, b.Name) })
	return st
}

// Targets are the active ones.
func (s ServiceStatus) Targets() []TargetStatus {
	if s.Active == nil {
		return nil
	}
	return append([]TargetStatus{*s.Active}, s.More...)
}

func (u *upstream) status() *TargetStatus {
	t := &TargetStatus{Target: u.Target, Health: "unknown", InFlight: int(u.inFlight.Load()), Failed: u.failed.Load(), Answered: u.answered.Load()}
	c := u.condition.Load()
	if c == nil {
		return t
	}
	t.Since, t.Last, t.Failures = c.since, c.last.String(), c.failures
	switch {
	case c.last.Healthy:
		t.Health = "healthy"
	case c.ejected:
		t.Health = "ejected"
	default:
		t.Health = "failing"
	}
	return t
}
