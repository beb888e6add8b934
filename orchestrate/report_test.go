package orchestrate

import "testing"

func TestReportBefore(t *testing.T) {
	served := UnitPlan{Previous: &Deployed{Release: v1}}
	for _, c := range []struct {
		name  string
		units []UnitPlan
		want  string
	}{
		{"no container of the app", nil, "nothing"},
		{"the first deploy", []UnitPlan{{}}, "nothing"},
		{"another release", []UnitPlan{served}, v1.String()},
		{"a role that is new on the host", []UnitPlan{{}, served}, v1.String()},
	} {
		h := newReport(Plan{Hosts: []HostPlan{{Host: "h1", Units: c.units}}}).Hosts[0]
		if h.Before != c.want || h.Serves != c.want {
			t.Errorf("%s: before %q, now %q, want %q", c.name, h.Before, h.Serves, c.want)
		}
	}
}
