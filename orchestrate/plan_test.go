package orchestrate

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ship/internal/docker"
	"ship/proxy"
)

var (
	shop = App{Service: "shop"}
	v1   = Release{ID: "111111111111", Version: "v1"}
	v2   = Release{ID: "222222222222", Version: "v2"}
)

// unit is a proxied web container, or a worker of another role.
func unit(role string, r Release) Unit {
	u := Unit{Role: role, Release: r, Image: shop.ImageRef(r), Settings: Settings{DrainTimeout: Duration(time.Second)}}
	if role == "web" {
		u.Settings.Service, u.Settings.Port = &proxy.Service{Name: shop.proxyService(role), PathPrefix: "/"}, 80
	}
	return u
}

func wish(r Release, hosts ...string) Desired {
	d := Desired{App: shop, Release: r, Units: map[string][]Unit{}, Group: len(hosts), Retain: 2, HTTPPort: 80, Orphans: true}
	for _, h := range hosts {
		d.Units[h] = []Unit{unit("web", r)}
	}
	return d
}

// onHostWith is a host with a running proxy and the containers.
func onHostWith(host string, ds ...Deployed) Observed {
	o := Observed{Host: host, Info: docker.Info{ServerVersion: "28.5.2"}, Proxy: ObservedProxy{Exists: true, Running: true}, Deployed: ds}
	sortDeployed(o.Deployed)
	return o
}

func all(string) bool { return true }

type how int

const (
	serving how = iota
	stopped
	leftover // started by a run that died before it switched
	draining // replaced, still running
	unadopted
)

func deployed(role string, r Release, gen int64, h how) Deployed {
	u := unit(role, r)
	d := Deployed{Role: role, Release: r, Generation: gen, Hash: u.Hash(), Settings: u.Settings}
	d.ID, d.Image, d.State, d.Running = role+"-"+r.Version+"-id", u.Image, "running", h != stopped
	d.Name = strings.Join([]string{"shop", role, r.Version}, "-")
	d.Spec.Restart = "unless-stopped"
	if h == leftover || h == unadopted {
		d.Spec.Restart = "no"
	}
	d.Serving = role == "web" && (h == serving || h == unadopted)
	if h == stopped {
		d.State = "exited"
	}
	return d
}

func TestPlan(t *testing.T) {
	for name, tc := range map[string]struct {
		want  Desired
		found []Observed
		text  string
	}{
		"first deploy": {
			wish(v1, "a"), []Observed{{Host: "a", Info: docker.Info{ServerVersion: "20.10.24"}}},
			`a: ship image v1 (111111111111) (new containers need v1 (111111111111))
a: boot proxy ship-proxy (it does not run)
a: start web v1 (111111111111) (nothing serves the role yet)
a: switch web v1 (111111111111) (every host is ready)
`},
		"nothing to do": {wish(v1, "a"), []Observed{onHostWith("a", deployed("web", v1, 1, serving))}, ""},
		"next release on two hosts": {
			wish(v2, "a", "b"), []Observed{onHostWith("a", deployed("web", v1, 1, serving)), onHostWith("b", deployed("web", v1, 1, serving))},
			`a: ship image v2 (222222222222) (new containers need v2 (222222222222))
b: ship image v2 (222222222222) (new containers need v2 (222222222222))
a: start web v2 (222222222222) (runs v1 (111111111111))
b: start web v2 (222222222222) (runs v1 (111111111111))
a: switch web v1 (111111111111) → v2 (222222222222) (every host is ready)
b: switch web v1 (111111111111) → v2 (222222222222) (every host is ready)
a: stop shop-web-v1 (replaced)
b: stop shop-web-v1 (replaced)
`},
		"a run died before the switch: its container is used": {
			wish(v2, "a"), []Observed{onHostWith("a", deployed("web", v1, 1, serving), deployed("web", v2, 2, leftover))},
			`a: ship image v2 (222222222222) (new containers need v2 (222222222222))
a: reuse web v2 (222222222222) (a run that did not finish has started it)
a: switch web v1 (111111111111) → v2 (222222222222) (every host is ready)
a: stop shop-web-v1 (replaced)
`},
		"a run died before the switch, another release is wanted": {
			wish(v1, "a"), []Observed{onHostWith("a", deployed("web", v1, 1, serving), deployed("web", v2, 2, leftover))},
			"a: remove shop-web-v2 (left by a run that did not finish)\n"},
		"a run died between switch and adoption": {
			wish(v2, "a"), []Observed{onHostWith("a", deployed("web", v1, 1, draining), deployed("web", v2, 2, unadopted))},
			`a: adopt shop-web-v2 (the run that switched to it did not finish)
a: stop shop-web-v1 (replaced)
`},
		"mixed fleet is brought together": {
			wish(v2, "a", "b"), []Observed{onHostWith("a", deployed("web", v1, 1, stopped), deployed("web", v2, 2, serving)), onHostWith("b", deployed("web", v1, 1, serving))},
			`b: ship image v2 (222222222222) (new containers need v2 (222222222222))
b: start web v2 (222222222222) (runs v1 (111111111111))
b: switch web v1 (111111111111) → v2 (222222222222) (every host is ready)
b: stop shop-web-v1 (replaced)
`},
		"a role that is no longer wanted": {
			wish(v1, "a"), []Observed{onHostWith("a", deployed("web", v1, 1, serving), deployed("jobs", v1, 1, serving))},
			"a: stop shop-jobs-v1 (role jobs is no longer wanted here)\n"},
		"a run died in an upgrade of the proxy, which serves under another name": {
			wish(v1, "a"), []Observed{{Host: "a", Info: docker.Info{ServerVersion: "28.5.2"}, Listening: []int{80}, Proxy: ObservedProxy{Exists: true, Running: true, Err: errors.New("it has just ended"), Unfinished: true}}},
			`a: ship image v1 (111111111111) (new containers need v1 (111111111111))
a: settle proxy ship-proxy (the run that upgraded it did not finish)
a: start web v1 (111111111111) (nothing serves the role yet)
a: switch web v1 (111111111111) (every host is ready)
`},
	} {
		t.Run(name, func(t *testing.T) {
			p, refusals := NewPlan(tc.want, tc.found)
			if len(refusals) > 0 {
				t.Fatalf("refused: %v", refusals)
			}
			if got := p.Text(); got != tc.text {
				t.Errorf("plan:\n%s\nwant:\n%s", got, tc.text)
			}
			if p.Changes() != (tc.text != "") {
				t.Errorf("Changes() = %v", p.Changes())
			}
		})
	}
}

func TestPlanGroups(t *testing.T) {
	want := wish(v2, "a", "b", "c")
	want.Group = 2
	var found []Observed
	for _, h := range []string{"a", "b", "c"} {
		found = append(found, onHostWith(h, deployed("web", v1, 1, serving)))
	}
	found[0] = onHostWith("a", deployed("web", v2, 2, serving)) // nothing to switch: takes no place in a group
	p, _ := NewPlan(want, found)
	if len(p.Groups) != 1 || len(p.Groups[0]) != 2 || p.Groups[0][0] != 1 {
		t.Fatalf("groups: %v", p.Groups)
	}
}

func TestPlanPrunesBeyondRetain(t *testing.T) {
	var ds []Deployed
	for i := range int64(4) {
		d := deployed("web", Release{ID: strings.Repeat(string(rune('a'+i)), 12)}, i+1, stopped)
		d.ID, d.Name = d.Release.ID, d.Release.ID
		ds = append(ds, d)
	}
	cur := deployed("web", v1, 9, serving)
	p, _ := NewPlan(wish(v2, "a"), []Observed{onHostWith("a", append(ds, cur)...)})
	// Two are retained: what is replaced now, and the newest that was stopped before.
	var pruned []string
	for _, d := range p.Hosts[0].Prune {
		pruned = append(pruned, d.ID[:1])
	}
	if got := strings.Join(pruned, ""); got != "cba" {
		t.Errorf("pruned %q", got)
	}
	if len(p.Hosts[0].Images) != 3 {
		t.Errorf("images: %v", p.Hosts[0].Images)
	}
}

func TestPreflightRefuses(t *testing.T) {
	taken := Observed{Host: "a", Info: docker.Info{ServerVersion: "28.5.2"}, Listening: []int{22, 80}}
	old := Observed{Host: "a", Info: docker.Info{ServerVersion: "19.03.8"}}
	mute := onHostWith("a")
	mute.Proxy.Err = errors.New("no answer")
	elsewhere := onHostWith("a")
	elsewhere.Proxy.Port = 8080
	other := onHostWith("a")
	other.Proxy.Status.Services = []proxy.ServiceStatus{{Service: proxy.Service{Name: "blog-web", PathPrefix: "/"}}}
	for name, tc := range map[string]struct {
		found Observed
		cause string
	}{
		"port taken":        {taken, "port 80 is taken"},
		"old engine":        {old, "Docker 19.03.8"},
		"mute proxy":        {mute, "does not answer"},
		"other port":        {elsewhere, "listens on port 8080"},
		"conflicting route": {other, "blog-web"},
	} {
		t.Run(name, func(t *testing.T) {
			_, refusals := NewPlan(wish(v1, "a"), []Observed{tc.found})
			err := errors.Join(refusals...)
			var r *RefusedError
			var h *HostError
			if !errors.As(err, &r) || !strings.Contains(r.Cause, tc.cause) || r.Help == "" {
				t.Fatalf("refusals: %v", err)
			}
			if !errors.As(err, &h) || h.Host != "a" {
				t.Fatalf("no host in %v", err)
			}
		})
	}
}

func TestRollback(t *testing.T) {
	found := []Observed{
		onHostWith("a", deployed("web", v1, 1, stopped), deployed("web", v2, 2, serving)),
		onHostWith("b", deployed("web", v1, 1, stopped), deployed("web", v2, 2, serving)),
	}
	want, err := Rollback(shop, "", found, all)
	if err != nil {
		t.Fatal(err)
	}
	want.Retain, want.HTTPPort = 4, 80
	p, refusals := NewPlan(want, found)
	if len(refusals) > 0 {
		t.Fatal(refusals)
	}
	if s := p.Text(); !strings.Contains(s, "a: switch web v2 (222222222222) → v1 (111111111111)") || !strings.Contains(s, "b: stop shop-web-v2") {
		t.Errorf("plan:\n%s", s)
	}
	var refused *RefusedError
	if _, err := Rollback(shop, "v9", found, all); !errors.As(err, &refused) || !strings.Contains(refused.Help, "v1") {
		t.Errorf("unknown release: %v", err)
	}
	found[1] = onHostWith("b", deployed("web", v2, 2, serving))
	if _, err := Rollback(shop, "v1", found, all); !errors.As(err, &refused) || !strings.Contains(refused.Cause, "b holds no container") {
		t.Errorf("release missing on one host: %v", err)
	}
	if _, err := Rollback(shop, "", []Observed{onHostWith("a", deployed("web", v1, 1, serving))}, all); !errors.As(err, &refused) {
		t.Errorf("nothing to roll back to: %v", err)
	}
}
