package transfer

import (
	"fmt"
	"testing"

	"ship/layers"
)

// TestRoutes: who gets a helper, and from whom it gets which layer.
func TestRoutes(t *testing.T) {
	img := planImage(layers.Gzip, 5*mb, 100_000, 5*mb)
	small := planImage(layers.Gzip, 400_000, 400_000)
	unknown := planImage(layers.Plain, -1, -1)
	host := func(name string, img *layers.Image, held int) *routable {
		p := newHostPlan(Asked{Host: name, Image: img, Holding: Holding{Held: layers.Held{Prefix: held}, Free: -1}}, 0, smallLoad)
		return &routable{plan: p, helper: true}
	}
	with := func(r *routable, change func(*routable)) *routable { change(r); return r }
	refused := func(r *routable) { r.plan.Refused = &PreflightError{Host: r.plan.Host} }
	tests := map[string]struct {
		hosts []*routable
		want  string
	}{
		"nobody has it":               {[]*routable{host("a", img, 0), host("b", img, 0)}, "[{true map[]} {true map[]}]"},
		"one has it":                  {[]*routable{host("a", img, 3), host("b", img, 0)}, "[{false map[]} {true map[0:a 2:a]}]"},
		"one has a part":              {[]*routable{host("a", img, 0), host("b", img, 1)}, "[{true map[0:b]} {true map[]}]"},
		"the first of two":            {[]*routable{host("a", img, 0), host("b", img, 3), host("c", img, 3), host("d", img, 0)}, "[{true map[0:b 2:b]} {false map[]} {false map[]} {true map[0:b 2:b]}]"},
		"another group's":             {[]*routable{with(host("a", img, 3), func(r *routable) { r.group = "x" }), host("b", img, 0)}, "[{false map[]} {true map[]}]"},
		"no helper can be there":      {[]*routable{with(host("a", img, 3), func(r *routable) { r.helper = false }), host("b", img, 0)}, "[{false map[]} {true map[]}]"},
		"no helper here":              {[]*routable{host("a", img, 3), with(host("b", img, 0), func(r *routable) { r.helper = false })}, "[{false map[]} {false map[]}]"},
		"no answer":                   {[]*routable{nil, host("b", img, 0)}, "[{false map[]} {true map[]}]"},
		"refused":                     {[]*routable{with(host("a", img, 0), refused), host("b", img, 0)}, "[{false map[]} {true map[]}]"},
		"too little for a helper":     {[]*routable{host("a", small, 0), host("b", small, 2)}, "[{false map[]} {false map[]}]"},
		"too little, but it is asked": {[]*routable{with(host("a", small, 0), func(r *routable) { r.forced = true }), host("b", small, 2)}, "[{true map[0:b 1:b]} {false map[]}]"},
		"sizes not known":             {[]*routable{host("a", unknown, 0), host("b", unknown, 2)}, "[{true map[0:b 1:b]} {false map[]}]"},
		"another image's layer":       {[]*routable{host("a", planImage(layers.Gzip, 9*mb), 1), host("b", img, 0)}, "[{false map[]} {true map[0:a]}]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := fmt.Sprint(newRoutes(tt.hosts)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
