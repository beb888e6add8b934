package orchestrate

import (
	"errors"
	"time"

	"ship/transfer"
)

// Report is what a run did.
type Report struct {
	Release Release       `json:"release"`
	Hosts   []HostReport  `json:"hosts"`
	Took    time.Duration `json:"took_ns"`

	start time.Time
}

// HostReport is what a run did on one host.
type HostReport struct {
	Host       string `json:"host"`
	Serves     string `json:"serves"`      // release that serves after the run
	Before     string `json:"before"`      // and before it
	LayersSent int    `json:"layers_sent"` //
	LayersHeld int    `json:"layers_held"`
	Bytes      int64  `json:"bytes"` // compressed layer bytes sent to the host
}

func newReport(p Plan) Report {
	r := Report{Release: p.Desired.Release, start: time.Now()}
	for i, hp := range p.Hosts {
		r.Hosts = append(r.Hosts, HostReport{Host: hp.Host, Before: p.before(i), Serves: p.before(i)})
	}
	return r
}

// Unchanged is the report of a plan that has nothing to do.
func Unchanged(p Plan) Report {
	r := newReport(p)
	r.finish(nil)
	return r
}

func (h *HostReport) shipped(res transfer.Result) {
	h.LayersSent, h.LayersHeld, h.Bytes = res.Sent, res.Held, res.Bytes
}

// finish fills in what serves now. After an undo it is what served before, or what a MixedError says.
func (r *Report) finish(err error) {
	r.Took = time.Since(r.start)
	var mixed *MixedError
	var serving *ServingError
	switch {
	case errors.As(err, &mixed):
		for i := range r.Hosts {
			r.Hosts[i].Serves = mixed.Hosts[r.Hosts[i].Host]
		}
	case err == nil || errors.As(err, &serving):
		for i := range r.Hosts {
			r.Hosts[i].Serves = r.Release.String()
		}
	}
}
