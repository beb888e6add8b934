package orchestrate

import "testing"

func TestWorse(t *testing.T) {
	for name, c := range map[string]struct {
		now, before Tally
		want        bool
	}{
		"all fail":              {Tally{20, 20}, Tally{1000, 0}, true},
		"half of them":          {Tally{100, 50}, Tally{1000, 100}, true},
		"fewer":                 {Tally{100, 49}, Tally{1000, 0}, false},
		"too few to tell":       {Tally{19, 19}, Tally{1000, 0}, false},
		"the old one is as bad": {Tally{100, 100}, Tally{1000, 300}, false},
		"the old one unknown":   {Tally{100, 100}, Tally{19, 0}, false},
		"nobody came":           {Tally{}, Tally{}, false},
	} {
		if got := c.now.worse(c.before); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
