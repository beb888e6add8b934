package orchestrate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ship/internal/docker"
	"ship/proxy"
)

// wishReplicas wants so many of a role on host a.
func wishReplicas(role string, r Release, n int) Desired {
	d := wish(r)
	for i := range n {
		d.Units["a"] = append(d.Units["a"], unit(role, r).replica(i, n))
	}
	return d
}

// replicas are containers of one release, on their way as how says.
func replicas(role string, r Release, gen int64, h how, n int) (all []Deployed) {
	for i := range n {
		d := deployed(role, r, gen, h)
		d.Replica, d.Hash = i, unit(role, r).replica(i, n).Hash()
		if i > 0 {
			d.ID, d.Name = d.ID+fmt.Sprint(i), d.Name+fmt.Sprintf("-r%d", i+1)
		}
		all = append(all, d)
	}
	return all
}

func TestPlanReplicas(t *testing.T) {
	three := replicas("web", v1, 1, serving, 3)
	oneDied := slices.Clone(three[:2])
	oneDied[1].Running, oneDied[1].State = false, "exited"
	for name, tc := range map[string]struct {
		want  Desired
		found []Deployed
		text  string
	}{
		"the first deploy": {wishReplicas("web", v1, 2), nil,
			`a: ship image v1 (111111111111) (new containers need v1 (111111111111))
a: start web v1 (111111111111) (nothing serves the role yet)
a: start web (replica 2) v1 (111111111111) (nothing serves the role yet)
a: switch web v1 (111111111111), 2 replicas (every host is ready)
`},
		"nothing to do": {wishReplicas("web", v1, 3), three, ""},
		"the next release": {wishReplicas("web", v2, 2), three[:2],
			`a: ship image v2 (222222222222) (new containers need v2 (222222222222))
a: start web v2 (222222222222) (runs v1 (111111111111))
a: start web (replica 2) v2 (222222222222) (runs v1 (111111111111))
a: switch web v1 (111111111111) → v2 (222222222222), 2 replicas (every host is ready)
a: stop shop-web-v1 (replaced)
a: stop shop-web-v1-r2 (replaced)
a: prune shop-web-v1-r2 (one container of a release is enough to come back to it)
`},
		"one more": {wishReplicas("web", v1, 3), three[:2],
			`a: ship image v1 (111111111111) (new containers need v1 (111111111111))
a: start web (replica 3) v1 (111111111111) (fewer run than are wanted)
a: switch web v1 (111111111111) → v1 (111111111111), 3 replicas (every host is ready)
`},
		"one less": {wishReplicas("web", v1, 2), three,
			`a: switch web v1 (111111111111) → v1 (111111111111), 2 replicas (every host is ready)
a: stop shop-web-v1-r3 (replica 3 is no longer wanted)
a: prune shop-web-v1-r3 (one container of a release is enough to come back to it)
`},
		"one has ended": {wishReplicas("web", v1, 2), oneDied,
			`a: ship image v1 (111111111111) (new containers need v1 (111111111111))
a: start web (replica 2) v1 (111111111111) (what should serve is exited)
a: switch web v1 (111111111111) → v1 (111111111111), 2 replicas (every host is ready)
a: prune shop-web-v1-r2 (one container of a release is enough to come back to it)
`},
		"workers, one less": {wishReplicas("jobs", v1, 2), replicas("jobs", v1, 1, serving, 3),
			`a: stop shop-jobs-v1-r3 (replica 3 is no longer wanted)
a: prune shop-jobs-v1-r3 (one container of a release is enough to come back to it)
`},
		"workers, another release": {wishReplicas("jobs", v2, 2), replicas("jobs", v1, 1, serving, 2),
			`a: ship image v2 (222222222222) (new containers need v2 (222222222222))
a: start jobs v2 (222222222222) (runs v1 (111111111111))
a: start jobs (replica 2) v2 (222222222222) (runs v1 (111111111111))
a: switch jobs v1 (111111111111) → v2 (222222222222) (every host is ready)
a: switch jobs (replica 2) v1 (111111111111) → v2 (222222222222) (every host is ready)
a: stop shop-jobs-v1 (replaced)
a: stop shop-jobs-v1-r2 (replaced)
a: prune shop-jobs-v1-r2 (one container of a release is enough to come back to it)
`},
	} {
		p, refusals := NewPlan(tc.want, []Observed{onHostWith("a", slices.Clone(tc.found)...)})
		if len(refusals) > 0 || p.Text() != tc.text {
			t.Errorf("%s: %v, got\n%swant\n%s", name, refusals, p.Text(), tc.text)
		}
	}
}

// TestReplicasAreTold: each knows its number where there are more than one, and one alone is as it was.
func TestReplicasAreTold(t *testing.T) {
	u := unit("web", v1)
	if one := u.replica(0, 1); one.Hash() != u.Hash() || len(one.Spec.Env) > 0 {
		t.Errorf("one alone: %+v", one)
	}
	second := u.replica(0, 2).replica(1, 3)
	if !slices.Equal(second.Spec.Env, []string{"SHIP_REPLICA=2"}) || second.Hash() == u.replica(0, 3).Hash() {
		t.Errorf("%+v", second)
	}
	for n, want := range map[int]string{0: "shop-web-111111111111-7", 1: "shop-web-111111111111-7-r2"} {
		spec, err := shop.container(u.replica(n, 2), 7, "10.0.0.2")
		if err != nil || spec.Name != want {
			t.Fatalf("%v %v", spec.Name, err)
		}
		d, err := readDeployed(docker.Container{Labels: spec.Labels})
		if err != nil || d.Replica != n {
			t.Errorf("%+v %v", d, err)
		}
		for _, bad := range []string{"x", "1", "-2"} {
			spec.Labels[LabelReplica] = bad
			if _, err := readDeployed(docker.Container{Labels: spec.Labels}); err == nil || !strings.Contains(err.Error(), "no replica") {
				t.Errorf("%q: %v", bad, err)
			}
		}
	}
}

// TestReplicasServe: what the proxy sends requests to counts, and a rollback brings as many.
func TestReplicasServe(t *testing.T) {
	now, old := replicas("web", v2, 2, serving, 2), replicas("web", v1, 1, stopped, 1)
	o := onHostWith("a", append(now, old...)...)
	o.Proxy.Status.Services = []proxy.ServiceStatus{{Service: *unit("web", v2).Settings.Service, Active: &proxy.TargetStatus{Target: proxy.Target{ID: now[0].ID}, Health: "healthy"},
		More: []proxy.TargetStatus{{Target: proxy.Target{ID: now[1].ID}, Health: "ejected", InFlight: 3}}}}
	rows := Status(shop, []Observed{o})
	if len(rows) != 3 || rows[0].Traffic != "serving" || rows[0].Health != "healthy" || rows[1].Traffic != "serving" || rows[1].Health != "ejected" || rows[1].InFlight != 3 || rows[2].Traffic != "standby" {
		t.Errorf("%+v", rows)
	}
	want, err := Rollback(shop, "v1", []Observed{o}, all)
	if err != nil || len(want.Units["a"]) != 2 {
		t.Fatalf("%+v %v", want, err)
	}
	if a, b := want.Units["a"][0], want.Units["a"][1]; a.Replica != 0 || b.Replica != 1 || a.Hash() == b.Hash() || !slices.Contains(b.Spec.Env, "SHIP_REPLICA=2") || slices.Contains(b.Spec.Env, "SHIP_REPLICA=1") {
		t.Errorf("%+v %+v", a, b)
	}
}
