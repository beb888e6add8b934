package transfer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ship/layers"
)

func TestForecast(t *testing.T) {
	img := planImage(layers.Gzip, 5*mb, 3*mb)
	host := func(name, group string, held int, bases map[int]base) surveyed {
		p := newHostPlan(Asked{Host: name, Image: img, Holding: Holding{Held: layers.Held{Prefix: held}, Free: -1}}, 0, smallLoad)
		return surveyed{host: name, to: &routable{plan: p, group: group, helper: true}, bases: bases}
	}
	blind := planImage(layers.Gzip, 5*mb, -1)
	unknown := func(s surveyed) surveyed {
		p := newHostPlan(Asked{Host: s.host, Image: blind, Holding: Holding{Free: -1}}, 0, smallLoad)
		s.to.plan = p
		return s
	}
	older := map[int]base{0: {layers.DiffID("sha256:" + strings.Repeat("e", 64)), "shop:v1"}}
	moved := map[int]base{1: {img.Layers[1].DiffID, "shop:v1"}}
	refused := func(s surveyed) surveyed { s.to.plan.Refused = &PreflightError{}; return s }
	plain := func(s surveyed) surveyed { s.to.helper = false; return s }
	on := Options{Delta: DeltaOn, Uplink: 1e6}
	tests := map[string]struct {
		hosts []surveyed
		opt   Options
		want  string
	}{
		"once for all":                 {[]surveyed{host("a", "", 0, nil), host("b", "", 0, nil)}, Options{}, "a: whole 5, whole 3; b: whole 5, whole 3; uplink 8, peers 8"},
		"once for a group":             {[]surveyed{host("a", "x", 0, nil), host("b", "y", 0, nil)}, Options{}, "a: whole 5, whole 3; b: whole 5, whole 3; uplink 16, peers 0"},
		"each from here":               {[]surveyed{host("a", "", 0, nil), host("b", "", 0, nil)}, Options{Star: true}, "a: whole 5, whole 3; b: whole 5, whole 3; uplink 16, peers 0"},
		"from one that has":            {[]surveyed{host("a", "", 0, nil), host("b", "", 2, nil)}, Options{}, "a: whole 5 of b, whole 3 of b; b: held 0, held 0; uplink 0, peers 8"},
		"a patch":                      {[]surveyed{host("a", "", 0, older)}, on, "a: patch 5, whole 3; uplink 8, peers 0, 8s"},
		"no patches":                   {[]surveyed{host("a", "", 0, older)}, Options{Delta: DeltaOff}, "a: whole 5, whole 3; uplink 8, peers 0"},
		"moved":                        {[]surveyed{host("a", "", 0, moved)}, Options{}, "a: whole 5, moved 0; uplink 5, peers 0"},
		"not from one that is refused": {[]surveyed{host("a", "", 0, nil), refused(host("b", "", 2, nil))}, Options{}, "a: whole 5, whole 3; b: held 0, held 0; uplink 8, peers 0"},
		"from one that has, by here":   {[]surveyed{host("a", "", 0, nil), host("b", "", 2, nil)}, Options{Star: true}, "a: whole 5 of b, whole 3 of b; b: held 0, held 0; uplink 8, peers 0"},
		"one without a helper":         {[]surveyed{host("a", "", 0, nil), plain(host("b", "", 0, nil)), host("c", "", 0, nil)}, Options{}, "a: whole 5, whole 3; b: whole 5, whole 3; c: whole 5, whole 3; uplink 16, peers 8"},
		"a size is not known":          {[]surveyed{unknown(host("a", "", 0, nil))}, Options{}, "a: whole 5, whole unknown; uplink 5, peers 0, 1 unknown"},
		"one is silent":                {[]surveyed{{host: "a", err: fmt.Errorf("no answer")}, host("b", "", 0, nil)}, Options{}, "a: no answer; b: whole 5, whole 3; uplink 8, peers 0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := forecastText(newForecast(tt.hosts, nil, tt.opt)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestForecastRefused: the refusal keeps its hint.
func TestForecastRefused(t *testing.T) {
	refused := &PreflightError{Host: "a", Cause: "disk too small", Help: "make room"}
	p := HostPlan{Asked: Asked{Host: "a", Image: planImage(layers.Gzip, mb)}, Refused: refused}
	f := newForecast([]surveyed{{host: "a", to: &routable{plan: p}}}, nil, Options{})
	if h := f.Hosts[0]; h.Refused != refused.Cause || h.Err != error(refused) {
		t.Errorf("%+v", h)
	}
}

// forecastText is a forecast in megabytes.
func forecastText(f Forecast) string {
	var parts []string
	for _, h := range f.Hosts {
		var ls []string
		for _, l := range h.Layers {
			s := fmt.Sprintf("%s %d", l.How, l.Bytes/mb)
			if l.Bytes < 0 {
				s = l.How + " unknown"
			}
			if l.From != "" {
				s += " of " + l.From
			}
			ls = append(ls, s)
		}
		if h.Error != "" {
			ls = append(ls, h.Error)
		}
		parts = append(parts, h.Host+": "+strings.Join(ls, ", "))
	}
	s := strings.Join(parts, "; ") + fmt.Sprintf("; uplink %d, peers %d", f.Uplink/mb, f.Peers/mb)
	if f.Unknown > 0 {
		s += fmt.Sprintf(", %d unknown", f.Unknown)
	}
	if f.Took > 0 {
		s += ", " + f.Took.Round(time.Second).String()
	}
	return s
}
