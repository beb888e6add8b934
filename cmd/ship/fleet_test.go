package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ship/internal/shiptest/load"
)

// TestUsersOfAHostMeet: root and a member of the docker group share the lock and the generations, and neither is kept
// out of what the other made.
func TestUsersOfAHostMeet(t *testing.T) {
	conf := appOf(t, "shared", []string{"h2"}, "")
	asDeploy := rewrite(t, conf, "[h2]", "[deploy@h2]")
	mustShip(t, 0, "deploy", image(t, "shared:v1"), "-c", conf)
	mustShip(t, 0, "lock", "acquire", "-m", "root is at it", "-c", conf)
	wants(t, mustShip(t, 4, "deploy", image(t, "shared:v2"), "-c", asDeploy).stderr, "root is at it")
	mustShip(t, 4, "deploy", image(t, "shared:v2"), "-c", asDeploy, "--lock-wait", "3s")
	mustShip(t, 0, "lock", "release", "--force", "-c", asDeploy)
	mustShip(t, 0, "deploy", image(t, "shared:v2"), "-c", asDeploy)
	mustShip(t, 0, "rollback", "-c", conf)
	serves(t, "shared", "v1", "h2")
	// State that was wiped starts its numbers anew; what runs on the host remembers.
	if _, err := world.lab.Host("h2").Exec(t.Context(), "rm -rf /var/lib/ship/shared"); err != nil {
		t.Fatal(err)
	}
	mustShip(t, 0, "deploy", image(t, "shared:v2"), "-c", asDeploy)
	serves(t, "shared", "v2", "h2")
	oneContainer(t, "shared", "h2")
}

// TestRolesComeAndGo: a role that is dropped, or no longer behind the proxy, takes its route along.
func TestRolesComeAndGo(t *testing.T) {
	two := appOf(t, "roles", []string{"h1"}, "servers: { web: { hosts: [h1] }, api: { hosts: [h1], proxy: { host: api.roles.test } } }\nproxy: { host: roles.test, app_port: 3000 }")
	mustShip(t, 0, "deploy", image(t, "roles:v1"), "-c", two)
	if got := running(t, "roles", "h1"); len(got) != 2 {
		t.Fatalf("running: %v", got)
	}
	mustShip(t, 0, "deploy", image(t, "roles:v1"), "-c", two, "-r", "web")
	if got := running(t, "roles", "h1"); len(got) != 2 {
		t.Errorf("a deploy of one role touched the other: %v", got)
	}
	one := appOf(t, "roles", []string{"h1"}, "")
	mustShip(t, 0, "deploy", image(t, "roles:v2"), "-c", one)
	oneContainer(t, "roles", "h1")
	serves(t, "roles", "v2", "h1")
	if out := mustShip(t, 0, "proxy", "status", "-c", one).stdout; strings.Contains(out, "api.roles") {
		t.Errorf("the dropped role has a route still:\n%s", out)
	}
	mustShip(t, 82, "deploy", image(t, "roles:v2"), "-c", appOf(t, "roles", nil, "servers: { web: [h1], jobs: { hosts: [root@h1], proxy: false, cmd: worker } }"))
}

// otherBuild is the program with another version: its proxy takes the place of this one's, and the other way round.
func otherBuild(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "ship")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w -X main.buildVersion=v1-test", "-o", bin, "ship/cmd/ship")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return bin
}

// proxies lists the containers of proxies on a host that run, or with all also those that do not.
func proxies(t *testing.T, host string, all ...string) []string {
	t.Helper()
	out, err := world.lab.Host(host).Exec(t.Context(), "docker ps "+strings.Join(all, " ")+" --filter label=ship.proxy --format '{{.Names}}'")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(out)
}

// TestProxyUpgradeUnderLoad replaces the proxies of three engines four times, with switches between.
func TestProxyUpgradeUnderLoad(t *testing.T) {
	hosts := []string{"h1", "h2", "h3"}
	conf := appOf(t, "gate", hosts, "")
	mustShip(t, 0, "deploy", image(t, "gate:v1"), "-c", conf)
	builds := []string{otherBuild(t), world.bin}
	var urls []string
	for _, h := range hosts {
		urls = append(urls, "http://"+world.lab.Host(h).Addr.String())
	}
	g, err := load.Start(t.Context(), load.Options{URLs: urls, Host: "gate.test", PostPath: "/post", SlowPath: "/slow?d=3s"})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		cmd := command(t, "proxy", "upgrade", "-c", conf)
		cmd.Path = builds[n%2]
		o := finish(t, cmd)
		if o.code != 0 {
			t.Fatal(o)
		}
		t.Log(o)
		if n%2 == 1 {
			mustShip(t, 0, "deploy", image(t, fmt.Sprint("gate:v", n+1)), "-c", conf)
		}
	}
	r := g.Stop()
	t.Log(r)
	if r.Failed > 0 || r.Total < 1000 {
		t.Errorf("load during four upgrades of three proxies: %s", r)
	}
	mustShip(t, 0, "proxy", "boot", "-c", conf)
	for _, h := range hosts {
		if got := proxies(t, h); !slices.Contains(got, "ship-proxy") || len(got) > 3 {
			t.Errorf("%s: %v", h, got)
		}
	}
}

func TestProxyUpgradeAndPrune(t *testing.T) {
	conf := appOf(t, "gate", []string{"h4"}, "")
	mustShip(t, 0, "deploy", image(t, "gate:v1"), "-c", conf)
	h := world.lab.Host("h4")
	if _, err := h.Exec(t.Context(), "docker stop -t 1 ship-proxy"); err != nil {
		t.Fatal(err)
	}
	mustShip(t, 82, "prune", "--retain", "0", "-c", conf) // what serves cannot be told now
	oneContainer(t, "gate", "h4")
	mustShip(t, 0, "proxy", "boot", "-c", conf)
	serves(t, "gate", "v1", "h4")
	wants(t, mustShip(t, 82, "deploy", image(t, "gate:v2"), "-c", rewrite(t, conf, "app_port: 3000,", "app_port: 3000, run: { http_port: 8081 },")).stderr, "listens on port 80")
	mustShip(t, 0, "proxy", "upgrade", "-c", conf)
	serves(t, "gate", "v1", "h4")
	mustShip(t, 0, "deploy", image(t, "gate:v2"), "-c", conf)
	serves(t, "gate", "v2", "h4")
	mustShip(t, 80, "proxy", "remove", "-c", conf)
	mustShip(t, 0, "proxy", "remove", "--yes", "-c", conf)
}
