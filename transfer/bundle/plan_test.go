package bundle

import (
	"errors"
	"testing"

	"ship/layers"
)

func TestPlan(t *testing.T) {
	v1 := seedImage(t, amd64, "shop:v1", layer{"a", 10}, layer{"b", 10}, layer{"c", 10})
	v2 := seedImage(t, amd64, "shop:v2", layer{"a", 10}, layer{"b", 10}, layer{"d", 10})
	arm := seedImage(t, arm64, "shop:v2", layer{"a", 10}, layer{"e", 10})
	src := source{v2, arm}
	for name, tc := range map[string]struct {
		inv  *Inventory
		want string
	}{
		"without an inventory all": {nil, "linux/amd64 for [] zstd true: 0 1 2\nlinux/arm64 for [] zstd true: 0 1\n"},
		"what both hold is left out": {inventory(graphHost("h1", amd64, true, v1), graphHost("h2", amd64, true, v1)),
			"linux/amd64 for [h1 h2] zstd true: 0 out 1 out 2 [h1 h2]\n"},
		"what one lacks goes in": {inventory(graphHost("h1", amd64, true, v1), containerdHost("h2", amd64, v2, 0, 2)),
			"linux/amd64 for [h1 h2] zstd true: 0 out 1 [h2] 2 [h1]\n"},
		"an old engine gets gzip": {inventory(graphHost("h1", amd64, true, v1), graphHost("h2", amd64, false, v1)),
			"linux/amd64 for [h1 h2] zstd false: 0 out 1 out 2 [h1 h2]\n"},
		"each platform by itself": {inventory(graphHost("h1", arm64, false), graphHost("h2", amd64, true, v1)),
			"linux/arm64 for [h1] zstd false: 0 [h1] 1 [h1]\nlinux/amd64 for [h2] zstd true: 0 out 1 out 2 [h2]\n"},
		"nothing is lacking": {inventory(graphHost("h1", amd64, true, v2)),
			"linux/amd64 for [h1] zstd true: 0 out 1 out 2 out\n"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := NewPlan(t.Context(), src, tc.inv)
			must(t, err)
			if got := text(p); got != tc.want || p.Name != "shop:v2" {
				t.Errorf("plan for %q\n%swant\n%s", p.Name, got, tc.want)
			}
		})
	}
}

func TestPlanRefusesForeignHosts(t *testing.T) {
	v1 := seedImage(t, amd64, "shop:v1", layer{"a", 10})
	_, err := NewPlan(t.Context(), source{v1}, inventory(graphHost("h1", amd64, true), graphHost("pi", arm64, true)))
	var host *HostError
	var platform *layers.PlatformError
	if !errors.As(err, &host) || host.Host != "pi" || !errors.As(err, &platform) {
		t.Errorf("%v", err)
	}
}
