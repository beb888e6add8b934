package main_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"ship/internal/shiptest/images"
	"ship/internal/shiptest/load"
)

// fleet is a mixed one on purpose: both stores, root, a member of the docker group, and a user with sudo.
var fleet = []string{"h1", "deploy@h2", "sudoer@h3"}

func TestDeployRollbackPrune(t *testing.T) {
	conf := appOf(t, "shop", fleet, "retain: 2")
	o := mustShip(t, 0, "deploy", image(t, "shop:v1"), "-c", conf)
	wants(t, o.stdout, "v1", "serves on 3 hosts")
	serves(t, "shop", "v1", fleet...)

	o = mustShip(t, 0, "deploy", image(t, "shop:v1"), "-c", conf)
	wants(t, o.stderr, "nothing to do")

	o = mustShip(t, 2, "plan", image(t, "shop:v2"), "-c", conf, "--detailed-exitcode")
	wants(t, o.stdout, "switch", "v1", "v2", "whole", "uplink about")
	serves(t, "shop", "v1", fleet...)

	mustShip(t, 0, "deploy", image(t, "shop:v2"), "-c", conf, "--no-registry")
	serves(t, "shop", "v2", fleet...)
	oneContainer(t, "shop", fleet...)

	o = mustShip(t, 0, "status", "-c", conf)
	wants(t, o.stdout, "serving", "standby", "v1", "v2")

	mustShip(t, 0, "rollback", "-c", conf)
	serves(t, "shop", "v1", fleet...)
	mustShip(t, 0, "rollback", "v2", "-c", conf)
	serves(t, "shop", "v2", fleet...)
	mustShip(t, 82, "rollback", "v9", "-c", conf)

	mustShip(t, 0, "deploy", image(t, "shop:v3"), "-c", conf)
	o = mustShip(t, 0, "releases", "-c", conf)
	if strings.Contains(o.stdout, "v1") {
		t.Errorf("retain: 2 kept the third release:\n%s", o.stdout)
	}
	mustShip(t, 0, "prune", "--retain", "0", "-c", conf)
	for _, h := range fleet {
		out, err := world.lab.Host(bare(h)).Exec(t.Context(), "docker ps -aq --filter label=ship.service=shop | wc -l; docker images -q ship/shop | sort -u | wc -l")
		if err != nil || strings.Fields(out)[0] != "1" || strings.Fields(out)[1] != "1" {
			t.Errorf("%s after prune: containers and images %q, %v", h, out, err)
		}
	}
	wants(t, mustShip(t, 0, "audit", "-c", conf).stdout, "deploy", "rollback", "done")
	wants(t, mustShip(t, 0, "doctor", "-c", withImage(t, conf, image(t, "shop:v3"))).stdout, "20.10", "containerd image store", "free")
}

func TestTwentyCutoversLoseNothing(t *testing.T) {
	conf := appOf(t, "busy", fleet, "")
	mustShip(t, 0, "deploy", image(t, "busy:v1"), "-c", conf)
	var urls []string
	for _, h := range fleet {
		urls = append(urls, "http://"+world.lab.Host(bare(h)).Addr.String())
	}
	g, err := load.Start(t.Context(), load.Options{URLs: urls, Host: "busy.test", PostPath: "/post", SlowPath: "/slow?d=1500ms"})
	if err != nil {
		t.Fatal(err)
	}
	// Seven deploys switch three hosts each: 21 cutovers.
	for i := range 7 {
		ref := []string{"busy:v2", "busy:v1"}[i%2]
		mustShip(t, 0, "deploy", image(t, ref), "-c", conf)
	}
	r := g.Stop()
	t.Log(r)
	if r.Failed > 0 || r.Total < 1000 || len(r.Versions) != 2 {
		t.Errorf("load during 21 cutovers: %s, versions %v", r, r.Versions)
	}
}

func TestWorkersNeedNoProxy(t *testing.T) {
	conf := appOf(t, "jobs", fleet, "servers: { worker: { hosts: [h1, deploy@h2], proxy: false, cmd: worker } }\nproxy: { app_port: 3000 }")
	mustShip(t, 0, "deploy", image(t, "jobs:v1"), "-c", conf)
	oneContainer(t, "jobs", "h1", "h2")
	mustShip(t, 0, "deploy", image(t, "jobs:v2"), "-c", conf)
	oneContainer(t, "jobs", "h1", "h2")
	o := mustShip(t, 0, "logs", "-c", conf, "-n", "5")
	wants(t, o.stdout, "h1 worker | ", "deploy@h2 worker | ")
	// A worker that ends at once is no healthy one; the old goes on.
	o = mustShip(t, 1, "deploy", image(t, "jobs:bad", "CRASH_ON_BOOT=1"), "-c", conf)
	wants(t, o.stderr, "exited with status", "worker")
	oneContainer(t, "jobs", "h1", "h2")
}

func TestHealthcheckOfTheImageCounts(t *testing.T) {
	conf := appOf(t, "checked", fleet, "servers: { worker: { hosts: [h1], proxy: false } }\nproxy: { app_port: 3000, deploy_timeout: 15 }")
	good := imageOf(t, images.Spec{Ref: "checked:v1", Version: "v1", Check: true})
	mustShip(t, 0, "deploy", good, "-c", conf)
	bad := imageOf(t, images.Spec{Ref: "checked:v2", Version: "v2", Check: true, Env: []string{"UNHEALTHY=1"}})
	o := mustShip(t, 1, "deploy", bad, "-c", conf)
	wants(t, o.stderr, "health check")
	if got := running(t, "checked", "h1"); len(got) != 1 {
		t.Errorf("running: %v", got)
	}
}

func TestPowerLossBringsTheAppBack(t *testing.T) {
	conf := appOf(t, "power", []string{"h1"}, "")
	mustShip(t, 0, "deploy", image(t, "power:v1"), "-c", conf)
	h := world.lab.Host("h1")
	if err := h.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		status, v, _, err := get(t, h, "power", "/")
		if err == nil && status == 200 && v == "v1" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after the reboot: %d %q %v", status, v, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	mustShip(t, 0, "deploy", image(t, "power:v2"), "-c", conf)
	serves(t, "power", "v2", "h1")
}

func TestSecretsReachTheAppAndNothingElse(t *testing.T) {
	const secret = "s3ntinel-Zq9 with 'quotes'\nand a second line"
	conf := appOf(t, "vault", []string{"deploy@h2"}, "env: { clear: { GREETING: hello }, secret: [TOKEN] }")
	cmd := command(t, "deploy", image(t, "vault:v1"), "-c", conf, "-v", "--json")
	cmd.Env = append(cmd.Env, "TOKEN="+secret)
	o := finish(t, cmd)
	if o.code != 0 {
		t.Fatal(o)
	}
	h := world.lab.Host("h2")
	if _, _, body, err := get(t, h, "vault", "/env?name=TOKEN"); err != nil || strings.TrimSuffix(body, "\n") != secret {
		t.Errorf("the app got %q, %v", body, err)
	}
	if strings.Contains(o.stdout+o.stderr, "s3ntinel") {
		t.Error("the secret is in the output")
	}
	found, err := h.Exec(t.Context(), "grep -rl s3ntinel-Zq9 /var/lib/ship /home /root /tmp /etc 2>/dev/null; ps axww | grep '[s]3ntinel-Zq9 with'; true")
	if err != nil || strings.TrimSpace(found) != "" {
		t.Errorf("the secret lies about on the host: %q, %v", found, err)
	}
	o = mustShip(t, 80, "deploy", image(t, "vault:v2"), "-c", conf)
	wants(t, o.stderr, "TOKEN")
	serves(t, "vault", "v1", "deploy@h2")
}

func TestJSONEndsWithAResult(t *testing.T) {
	conf := appOf(t, "jsn", []string{"h1"}, "")
	o := mustShip(t, 0, "deploy", image(t, "jsn:v1"), "-c", conf, "--json")
	lines := strings.Split(strings.TrimSpace(o.stdout), "\n")
	for i, l := range lines {
		var e struct {
			V    int
			Type string
		}
		if err := json.Unmarshal([]byte(l), &e); err != nil || e.V != 1 || e.Type == "" {
			t.Fatalf("line %d: %v: %s", i, err, l)
		}
		if (e.Type == "result") != (i == len(lines)-1) {
			t.Errorf("line %d of %d has type %s", i, len(lines), e.Type)
		}
	}
}

// withImage is the configuration with another image.
func withImage(t *testing.T, conf, ref string) string {
	t.Helper()
	return rewrite(t, conf, "docker-archive:none.tar", ref)
}
