package main_test

import (
	"strings"
	"testing"
	"time"

	"ship/internal/shiptest/load"
)

// TestReplicas: several containers of a role on each host share its requests, are switched together, and stand in for one
// that dies.
func TestReplicas(t *testing.T) {
	hosts := []string{"h1", "deploy@h2"}
	file := func(replicas string) string {
		return appOf(t, "many", hosts, "servers: { web: { hosts: [h1, deploy@h2], replicas: "+replicas+" } }")
	}
	runs := func(release string, replicas int) {
		t.Helper()
		serves(t, "many", release, hosts...)
		for _, h := range hosts {
			if got := running(t, "many", h); len(got) != replicas {
				t.Errorf("%s runs %v, want %d", h, got, replicas)
			}
		}
	}
	conf := file("2")
	mustShip(t, 0, "deploy", image(t, "many:v1"), "-c", conf)
	runs("v1", 2)
	h1 := world.lab.Host("h1")
	seen := map[string]bool{}
	for range 20 {
		_, _, body, err := get(t, h1, "many", "/env?name=SHIP_REPLICA")
		if err != nil {
			t.Fatal(err)
		}
		seen[body] = true
	}
	if len(seen) != 2 || !seen["1"] || !seen["2"] {
		t.Errorf("requests were answered by %v", seen)
	}
	if o := mustShip(t, 0, "status", "-c", conf); strings.Count(o.stdout, "serving") != 4 {
		t.Errorf("status:\n%s", o.stdout)
	}

	var urls []string
	for _, h := range hosts {
		urls = append(urls, "http://"+world.lab.Host(bare(h)).Addr.String())
	}
	g, err := load.Start(t.Context(), load.Options{URLs: urls, Host: "many.test", SlowPath: "/slow?d=500ms"})
	if err != nil {
		t.Fatal(err)
	}
	for _, which := range []string{"1", "2"} { // what is in flight with it breaks, and goes to the other one
		before := g.Total()
		if _, err := h1.Exec(t.Context(), "kill -9 $(docker inspect -f '{{.State.Pid}}' $(docker ps -q --filter label=ship.service=many | sed -n "+which+"p))"); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end) && (g.Total() < before+300 || len(running(t, "many", "h1")) < 2); time.Sleep(100 * time.Millisecond) {
		}
		wants(t, mustShip(t, 0, "proxy", "status", "-c", conf).stdout, "many.web")
	}
	runs("v1", 2)
	mustShip(t, 0, "deploy", image(t, "many:v2"), "-c", conf)
	runs("v2", 2)
	one, three := file("1"), file("3")
	wants(t, mustShip(t, 0, "plan", image(t, "many:v2"), "-c", three).stdout, "fewer run than are wanted", "3 replicas")
	mustShip(t, 0, "deploy", image(t, "many:v2"), "-c", three)
	runs("v2", 3)
	wants(t, mustShip(t, 0, "deploy", image(t, "many:v2"), "-c", conf).stderr, "draining")
	runs("v2", 2)
	o := mustShip(t, 1, "deploy", image(t, "many:bad", "UNHEALTHY=1"), "-c", appOf(t, "many", hosts, "servers: { web: { hosts: [h1, deploy@h2], replicas: 3 } }\nproxy: { host: many.test, app_port: 3000, deploy_timeout: 3, drain_timeout: 10 }"))
	wants(t, o.stderr, "not ready")
	runs("v2", 2)
	mustShip(t, 0, "rollback", "-c", conf)
	runs("v1", 2)
	mustShip(t, 0, "deploy", image(t, "many:v1"), "-c", one)
	runs("v1", 1)
	r := g.Stop()
	t.Log(r)
	if r.Failed > 0 || r.Total < 2000 || len(r.Versions) != 2 {
		t.Errorf("%s, versions %v", r, r.Versions)
	}
}

// TestWorkerReplicas need no proxy.
func TestWorkerReplicas(t *testing.T) {
	file := func(replicas string) string {
		return appOf(t, "manyjobs", fleet, "servers: { worker: { hosts: [h1], proxy: false, cmd: worker, replicas: "+replicas+" } }\nproxy: { app_port: 3000 }")
	}
	for _, c := range []struct {
		replicas, ref string
		want          int
	}{{"3", "manyjobs:v1", 3}, {"2", "manyjobs:v1", 2}, {"2", "manyjobs:v2", 2}, {"1", "manyjobs:v2", 1}} {
		mustShip(t, 0, "deploy", image(t, c.ref), "-c", file(c.replicas))
		if got := running(t, "manyjobs", "h1"); len(got) != c.want {
			t.Errorf("%s replicas of %s: %v", c.replicas, c.ref, got)
		}
	}
}
