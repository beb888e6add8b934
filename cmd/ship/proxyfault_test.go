package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ship/internal/shiptest/load"
)

// atRest fails unless the host has one proxy under its name, which the engine keeps, and no other that runs once those
// that were replaced had the time to end.
func atRest(t *testing.T, host string) {
	t.Helper()
	var got string
	for range 60 {
		out, err := world.lab.Host(host).Exec(t.Context(), "docker ps --filter label=ship.proxy --format '{{.Names}}' | xargs -r docker inspect -f '{{.Name}} {{.HostConfig.RestartPolicy.Name}}'")
		if err != nil {
			t.Fatal(err)
		}
		if got = strings.TrimSpace(out); got == "/ship-proxy unless-stopped" {
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
	t.Errorf("%s: %s", host, got)
}

// loadOn asks a service on a host without pause, and in the end wants no failure.
func loadOn(t *testing.T, host, service string) (end func()) {
	t.Helper()
	g, err := load.Start(t.Context(), load.Options{URLs: []string{"http://" + world.lab.Host(host).Addr.String()}, Host: service + ".test", PostPath: "/post", SlowPath: "/slow?d=1s"})
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		r := g.Stop()
		t.Log(r)
		if r.Failed > 0 || r.Total < 100 {
			t.Error(r)
		}
	}
}

// TestProxyUpgradeFails has a new proxy that cannot listen: the old one serves on, and is kept.
func TestProxyUpgradeFails(t *testing.T) {
	conf := appOf(t, "steady", []string{"h3"}, "")
	mustShip(t, 0, "deploy", image(t, "steady:v1"), "-c", conf)
	end := loadOn(t, "h3", "steady")
	bad := rewrite(t, conf, "app_port: 3000,", "app_port: 3000, run: { http_port: 22 },") // where sshd listens
	wants(t, mustShip(t, 1, "proxy", "upgrade", "-c", bad).stderr, "address already in use", "the old proxy serves on")
	atRest(t, "h3")
	if got := proxies(t, "h3", "-a"); !slices.Equal(got, []string{"ship-proxy"}) {
		t.Errorf("%v", got)
	}
	mustShip(t, 0, "deploy", image(t, "steady:v2"), "-c", conf)
	end()
	serves(t, "steady", "v2", "h3")
}

// TestProxyUpgradeKilled: kill -9 at any moment of an upgrade, and a deploy or another upgrade after it.
func TestProxyUpgradeKilled(t *testing.T) {
	conf := appOf(t, "nine", []string{"h1"}, "")
	mustShip(t, 0, "deploy", image(t, "nine:v1"), "-c", conf)
	other := otherBuild(t)
	cmd := command(t, "proxy", "upgrade", "-c", conf) // both images are on the host then
	cmd.Path = other
	if o := finish(t, cmd); o.code != 0 {
		t.Fatal(o)
	}
	mustShip(t, 0, "proxy", "upgrade", "-c", conf)
	end := loadOn(t, "h1", "nine")
	next := func() string { // the build whose proxy does not run
		out, err := world.lab.Host("h1").Exec(t.Context(), "docker inspect -f '{{index .Config.Labels \"ship.proxy\"}}' ship-proxy")
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(out) == "v0-test" {
			return other
		}
		return world.bin
	}
	for n, after := range []time.Duration{0, 100, 190, 270, 370, 600} {
		cmd := command(t, "proxy", "upgrade", "-c", conf)
		build := next()
		cmd.Path = build
		follow(t, cmd, enters("proxy", "h1"), func(p *os.Process) {
			time.Sleep(after * time.Millisecond)
			kill(p)
		})
		t.Logf("killed after %d ms: %v", after, proxies(t, "h1", "-a"))
		if n%2 == 0 {
			mustShip(t, 0, "deploy", image(t, fmt.Sprint("nine:v", n+2)), "-c", conf)
			serves(t, "nine", fmt.Sprint("v", n+2), "h1")
		} else {
			cmd := command(t, "proxy", "upgrade", "-c", conf)
			cmd.Path = build
			if o := finish(t, cmd); o.code != 0 {
				t.Fatal(o)
			}
		}
		atRest(t, "h1")
	}
	end()
	mustShip(t, 0, "deploy", image(t, "nine:v1"), "-c", conf) // removes what has ended since
	if got := proxies(t, "h1", "-a"); !slices.Equal(got, []string{"ship-proxy"}) {
		t.Errorf("left: %v", got)
	}
}

// TestProxyKilled: kill -9 of the process that serves. What is in flight is lost; no connection is refused.
func TestProxyKilled(t *testing.T) {
	hosts := []string{"h1", "h2", "h3"}
	conf := appOf(t, "tough", hosts, "")
	mustShip(t, 0, "deploy", image(t, "tough:v1"), "-c", conf)
	mustShip(t, 0, "proxy", "upgrade", "-c", conf) // to this build
	const rounds = 3
	for _, name := range hosts {
		h := world.lab.Host(name)
		g, err := load.Start(t.Context(), load.Options{URLs: []string{"http://" + h.Addr.String()}, Host: "tough.test", PostPath: "/post", Pause: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		for range rounds {
			if _, err := h.Exec(t.Context(), "kill -9 $(docker top ship-proxy -eo pid,args | awk '/proxy work/{print $1}')"); err != nil {
				t.Fatal(err)
			}
			serves(t, "tough", "v1", name)
			time.Sleep(300 * time.Millisecond)
		}
		r := g.Stop()
		t.Log(name, r)
		if r.Classes[load.Refused] > 0 || r.Classes[load.Status] > 0 || r.Failed > 3*rounds || r.Total < 100 {
			t.Error(r)
		}
		out, err := h.Exec(t.Context(), "docker inspect -f '{{.RestartCount}}' ship-proxy; docker top ship-proxy -eo pid,rss,args")
		if err != nil || !strings.HasPrefix(out, "0\n") {
			t.Errorf("%s, %v", out, err)
		}
		t.Log(out)
	}
}

// TestProxyUpgradesMeet: two upgrades to different builds and a deploy, all at once.
func TestProxyUpgradesMeet(t *testing.T) {
	hosts := []string{"h1", "h2", "h3"}
	conf := appOf(t, "pair", hosts, "")
	mustShip(t, 0, "deploy", image(t, "pair:v1"), "-c", conf)
	other := command(t, "proxy", "upgrade", "-c", conf)
	other.Path = otherBuild(t)
	end := loadOn(t, "h1", "pair")
	var runs sync.WaitGroup
	for _, cmd := range []*exec.Cmd{other, command(t, "proxy", "upgrade", "-c", conf), command(t, "deploy", image(t, "pair:v2"), "-c", conf)} {
		runs.Go(func() {
			if o := finish(t, cmd); o.code != 0 {
				t.Error(o)
			}
		})
	}
	runs.Wait()
	for _, h := range hosts {
		atRest(t, h)
	}
	end()
	serves(t, "pair", "v2", hosts...)
}
