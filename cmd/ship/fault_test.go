package main_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ship/internal/shiptest/images"
	"ship/internal/shiptest/lab"
)

// TestBadReleaseChangesNothing: whatever is wrong with a release, the old one serves, nothing of the new one stays, and
// the message says what was wrong.
func TestBadReleaseChangesNothing(t *testing.T) {
	conf := appOf(t, "solid", fleet, "proxy: { host: solid.test, app_port: 3000, deploy_timeout: 6, drain_timeout: 5 }")
	mustShip(t, 0, "deploy", image(t, "solid:v1"), "-c", conf)
	for name, tc := range map[string]struct {
		env   string
		parts []string
	}{
		"never healthy":    {"UNHEALTHY=1", []string{"503", "health"}},
		"crashes on boot":  {"CRASH_ON_BOOT=1", []string{"exited with status 1"}},
		"health redirects": {"HEALTH_REDIRECT=1", []string{"301", "Location"}},
		"slow to boot":     {"BOOT_DELAY=60s", []string{"refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := mustShip(t, 1, "deploy", image(t, "solid:bad", tc.env), "-c", conf)
			wants(t, o.stderr, append(tc.parts, "web", "h1")...)
			wants(t, o.stdout, "nothing has changed")
			serves(t, "solid", "v1", fleet...)
			oneContainer(t, "solid", fleet...)
		})
	}
}

// TestOneBadHostStopsAll: the new release is healthy on two hosts and cannot be on the third; so none switches.
func TestOneBadHostStopsAll(t *testing.T) {
	conf := appOf(t, "twoof", fleet, "proxy: { host: twoof.test, app_port: 3000, deploy_timeout: 8 }")
	mustShip(t, 0, "deploy", image(t, "twoof:v1"), "-c", conf)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() { // kills every new container on h3
		defer wg.Done()
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
			_, _ = world.lab.Host("h3").Exec(t.Context(), "docker ps -q --filter label=ship.service=twoof --filter label=ship.version=v2 | xargs -r docker kill >/dev/null 2>&1; true")
		}
	}()
	o := mustShip(t, 1, "deploy", image(t, "twoof:v2", "HEALTH_DELAY=2s"), "-c", conf)
	close(stop)
	wg.Wait()
	wants(t, o.stderr, "sudoer@h3", "exited with status")
	serves(t, "twoof", "v1", fleet...)
	oneContainer(t, "twoof", fleet...)
}

// TestFailureDuringTheSwitchTakesBack: one host after the other switches, and the last one's proxy dies before its
// turn. The switched ones go back.
func TestFailureDuringTheSwitchTakesBack(t *testing.T) {
	conf := appOf(t, "back", fleet, "boot: { limit: 1, wait: 2 }")
	mustShip(t, 0, "deploy", image(t, "back:v1"), "-c", conf)
	h := world.lab.Host("h3")
	o := stopAt(t, "switch", "deploy@h2", func(*os.Process) {
		if _, err := h.Exec(t.Context(), "docker restart -t 0 ship-proxy"); err != nil {
			t.Error(err)
		}
	}, "deploy", image(t, "back:v2"), "-c", conf)
	if o.code != 1 {
		t.Errorf("want exit 1\n%s", o)
	}
	wants(t, o.stdout, `"host":"h1","phase":"undo"`, `"host":"deploy@h2","phase":"undo"`)
	wants(t, o.stderr, "sudoer@h3: switch")
	serves(t, "back", "v1", fleet...)
	oneContainer(t, "back", fleet...)
	mustShip(t, 0, "deploy", image(t, "back:v2"), "-c", conf)
	serves(t, "back", "v2", fleet...)
}

// TestKilledAtEachStep: kill -9 at any step leaves the old or the new version serving on each host, and the next run
// finishes the job at once: the dead run's lock is no obstacle on the same machine.
func TestKilledAtEachStep(t *testing.T) {
	conf := appOf(t, "phoenix", fleet, "")
	mustShip(t, 0, "deploy", image(t, "phoenix:v1"), "-c", conf)
	serving := "v1"
	for _, phase := range []string{"ask", "send", "verify", "start", "health", "switch", "drain", "stop"} {
		t.Run(phase, func(t *testing.T) {
			next := map[string]string{"v1": "v2", "v2": "v1"}[serving]
			// A layer of its own for each phase, or there would be nothing to send the second time.
			spec := images.Spec{Ref: "phoenix:" + next, Version: next, Layers: []images.Layer{{Name: phase, Size: 4 << 20, Files: 8}}}
			if phase == "health" {
				spec.Env = []string{"HEALTH_DELAY=3s"} // or a busy machine is healthy everywhere, and has switched, before the kill
			}
			src := imageOf(t, spec)
			stopAt(t, phase, "", kill, "deploy", src, "-c", conf)
			for _, h := range fleet {
				status, v, _, err := get(t, world.lab.Host(bare(h)), "phoenix", "/")
				switched := slices.Contains([]string{"switch", "drain", "stop"}, phase)
				if err != nil || status != 200 || v != serving && (!switched || v != next) {
					t.Errorf("%s after the kill: want %s, got %d %q %v", h, serving, status, v, err)
				}
			}
			o := mustShip(t, 0, "deploy", src, "-c", conf)
			if o.took > 40*time.Second {
				t.Errorf("the next run took %s", o.took)
			}
			serving = next
			serves(t, "phoenix", serving, fleet...)
			oneContainer(t, "phoenix", fleet...)
		})
	}
}

// TestInterrupted: Ctrl-C or SIGTERM leaves nothing of the new release and no lock, and says what serves.
func TestInterrupted(t *testing.T) {
	conf := appOf(t, "polite", fleet, "")
	mustShip(t, 0, "deploy", image(t, "polite:v1"), "-c", conf)
	for name, tc := range map[string]struct {
		phase string
		stop  func(*os.Process)
		code  int
	}{
		"Ctrl-C in send":    {"send", interrupt, 130},
		"SIGTERM in start":  {"start", terminate, 143},
		"Ctrl-C in health":  {"health", interrupt, 130},
		"SIGTERM in health": {"health", terminate, 143},
	} {
		t.Run(name, func(t *testing.T) {
			src := imageOf(t, images.Spec{Ref: "polite:v2", Version: "v2", Env: []string{"HEALTH_DELAY=3s"},
				Layers: []images.Layer{{Name: name[:7] + tc.phase, Size: 6 << 20, Files: 8}}})
			o := stopAt(t, tc.phase, "", tc.stop, "deploy", src, "-c", conf)
			if o.code != tc.code {
				t.Errorf("want exit %d\n%s", tc.code, o)
			}
			serves(t, "polite", "v1", fleet...)
			oneContainer(t, "polite", fleet...)
			wants(t, mustShip(t, 0, "lock", "status", "-c", conf).stdout, "h1: free", "sudoer@h3: free")
		})
	}
}

// TestInterruptedAmidTheSwitch: then the fleet is all old or all new, and the message says which.
func TestInterruptedAmidTheSwitch(t *testing.T) {
	conf := appOf(t, "amid", fleet, "boot: { limit: 1, wait: 2 }")
	mustShip(t, 0, "deploy", image(t, "amid:v1"), "-c", conf)
	o := stopAt(t, "switch", "h1", interrupt, "deploy", image(t, "amid:v2"), "-c", conf)
	if o.code != 130 {
		t.Errorf("want exit 130\n%s", o)
	}
	serves(t, "amid", "v1", fleet...)
	oneContainer(t, "amid", fleet...)
	o = stopAt(t, "drain", "", interrupt, "deploy", image(t, "amid:v2"), "-c", conf)
	if o.code != 130 {
		t.Errorf("want exit 130\n%s", o)
	}
	wants(t, o.stderr, "the new release serves on every host")
	serves(t, "amid", "v2", fleet...)
	mustShip(t, 0, "deploy", image(t, "amid:v2"), "-c", conf)
	oneContainer(t, "amid", fleet...)
}

func TestTwoDeploysAtOnce(t *testing.T) {
	conf := appOf(t, "twice", fleet, "")
	mustShip(t, 0, "deploy", image(t, "twice:v1"), "-c", conf)
	var other outcome
	first := stopAt(t, "health", "", func(*os.Process) {
		other = ship(t, "deploy", image(t, "twice:v3"), "-c", conf)
	}, "deploy", image(t, "twice:v2", "HEALTH_DELAY=12s"), "-c", conf)
	if first.code != 0 {
		t.Errorf("the first: %s", first)
	}
	if other.code != 4 {
		t.Errorf("the second: want exit 4\n%s", other)
	}
	wants(t, other.stderr, "locked by", "deploy v2", "hint")
	serves(t, "twice", "v2", fleet...)
}

func TestManualLock(t *testing.T) {
	conf := appOf(t, "held", []string{"h1"}, "")
	mustShip(t, 0, "lock", "acquire", "-m", "no deploys today", "--for", "10m", "-c", conf)
	wants(t, mustShip(t, 0, "lock", "status", "-c", conf).stdout, "no deploys today")
	wants(t, mustShip(t, 4, "deploy", image(t, "held:v1"), "-c", conf).stderr, "no deploys today")
	mustShip(t, 0, "lock", "release", "-c", conf)
	mustShip(t, 0, "deploy", image(t, "held:v1"), "-c", conf)
}

// TestHostFreezesInMidTransfer: a frozen host is an error in seconds; the others keep what they had, and when it
// thaws, the next run finishes.
func TestHostFreezesInMidTransfer(t *testing.T) {
	conf := appOf(t, "frosty", fleet, "")
	mustShip(t, 0, "deploy", image(t, "frosty:v1"), "-c", conf)
	h := world.lab.Host("h3")
	src := imageOf(t, images.Spec{Ref: "frosty:v2", Version: "v2", Layers: []images.Layer{{Name: "big", Size: 64 << 20, Files: 64}}})
	o := stopAt(t, "send", "sudoer@h3", func(*os.Process) {
		if err := h.Freeze(t.Context()); err != nil {
			t.Error(err)
		}
	}, "deploy", src, "-c", conf)
	if err := h.Thaw(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o.code != 1 && o.code != 101 || o.took > 90*time.Second {
		t.Errorf("a frozen host: %s", o)
	}
	wants(t, o.stderr, "sudoer@h3")
	serves(t, "frosty", "v1", fleet...)
	mustShip(t, 0, "deploy", src, "-c", conf, "--lock-wait", "1m")
	serves(t, "frosty", "v2", fleet...)
	oneContainer(t, "frosty", fleet...)
}

// TestSlowLineKeepsTheLock: a transfer that takes longer than a lease lives, on a line that is full all the time.
func TestSlowLineKeepsTheLock(t *testing.T) {
	conf := appOf(t, "tardy", []string{"h1", "deploy@h2"}, "")
	src := imageOf(t, images.Spec{Ref: "tardy:v1", Version: "tardy", Layers: []images.Layer{{Name: "slow line", Size: 36 << 20, Files: 16}}})
	if err := world.lab.Limit(t.Context(), 4*lab.Mbit, 0); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := world.lab.Limit(t.Context(), 0, 0); err != nil {
			t.Error(err)
		}
	}()
	o := mustShip(t, 0, "deploy", src, "-c", conf)
	if o.took < 30*time.Second {
		t.Errorf("too quick to show anything: %s", o.took)
	}
	serves(t, "tardy", "tardy", "h1", "h2")
}

// TestDiskTooSmall: refused before a byte is sent.
func TestDiskTooSmall(t *testing.T) {
	conf := appOf(t, "bulky", []string{"h4"}, "")
	src := imageOf(t, images.Spec{Ref: "bulky:v1", Version: "v1", Layers: []images.Layer{{Name: "bulk", Size: 128 << 20, Files: 40}}})
	t.Cleanup(func() {
		if out, err := world.lab.Host("h4").Exec(context.WithoutCancel(t.Context()), "rm -f /var/filler"); err != nil {
			t.Error(err, out)
		}
	})
	script(t, "h4", "fallocate -l $(($(df --output=avail -k /var/lib/docker | tail -n 1) - 100 * 1024))K /var/filler")
	o := mustShip(t, 82, "deploy", src, "-c", conf)
	wants(t, o.stderr, "h4", "free", "hint")
	if got := running(t, "bulky", "h4"); len(got) != 0 {
		t.Errorf("running: %v", got)
	}
}

func TestForeignArchitecture(t *testing.T) {
	conf := appOf(t, "alien", []string{"h1"}, "")
	src := imageOf(t, images.Spec{Ref: "alien:v1", Version: "v1", Arch: "arm64"})
	o := mustShip(t, 82, "deploy", src, "-c", conf)
	wants(t, o.stderr, "h1", "amd64", "arm64")
	o = ship(t, "push", src, "h1")
	if o.code != 82 || !strings.Contains(o.stderr, "arm64") {
		t.Error(o)
	}
}
