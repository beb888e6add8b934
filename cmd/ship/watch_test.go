package main_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"ship/internal/shiptest/load"
)

const watched = "boot: { watch: 4 }"

// crash kills the processes of the service's version on a host, as if they had died by themselves.
func crash(t *testing.T, host, service, version string) {
	t.Helper()
	out, err := world.lab.Host(host).Exec(t.Context(), fmt.Sprintf(
		"docker ps -q --filter label=ship.service=%s --filter label=ship.version=%s | xargs docker inspect -f '{{.State.Pid}}' | xargs kill -9", service, version))
	if err != nil {
		t.Errorf("%s, %v", out, err)
	}
}

// TestDeathAfterTheSwitchTakesBack: half a second after the switch, the new release dies on one host of three. All go back
// by themselves, and of the requests only those fail that were with the container when it died and must not be sent twice.
func TestDeathAfterTheSwitchTakesBack(t *testing.T) {
	conf := appOf(t, "brittle", fleet, watched)
	mustShip(t, 0, "deploy", image(t, "brittle:v1"), "-c", conf)
	var urls []string
	for _, h := range fleet {
		urls = append(urls, "http://"+world.lab.Host(bare(h)).Addr.String())
	}
	gets, err := load.Start(t.Context(), load.Options{URLs: urls, Host: "brittle.test", SlowPath: "/slow?d=700ms", Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	posts, err := load.Start(t.Context(), load.Options{URLs: urls[:1], Host: "brittle.test", PostPath: "/post"})
	if err != nil {
		t.Fatal(err)
	}
	var died time.Time
	o := stopAt(t, "watch", "h1", func(*os.Process) {
		time.Sleep(500 * time.Millisecond)
		crash(t, "h1", "brittle", "v2")
		died = time.Now()
	}, "deploy", image(t, "brittle:v2"), "-c", conf)
	t.Log("ended after the death by", time.Since(died))
	r, p := gets.Stop(), posts.Stop()
	t.Log(r, p)
	if o.code != 1 {
		t.Errorf("want exit 1\n%s", o)
	}
	wants(t, o.stderr, "h1: watch: web did not stay healthy after the switch: the container", "version v2 listens", "hint:", "boot.watch")
	wants(t, o.stdout, `"host":"h1","phase":"undo"`, `"host":"sudoer@h3","phase":"undo"`, `"exit_code":1`)
	if r.Failed > 0 || r.Versions["v2"] == 0 || r.Total < 300 {
		t.Errorf("GET: %s, versions %v", r, r.Versions)
	}
	if p.Failed > 2 || p.Classes[load.Refused] > 0 {
		t.Errorf("POST: %s", p)
	}
	serves(t, "brittle", "v1", fleet...)
	oneContainer(t, "brittle", fleet...)
	mustShip(t, 0, "deploy", image(t, "brittle:v2"), "-c", conf)
	serves(t, "brittle", "v2", fleet...)
}

// TestEjectionAfterTheSwitchTakesBack: the new release goes on running, and answers nothing.
func TestEjectionAfterTheSwitchTakesBack(t *testing.T) {
	conf := appOf(t, "dazed", []string{"h3"}, "proxy: { host: dazed.test, app_port: 3000, healthcheck: { interval: 0.1, timeout: 0.3, failures: 2 } }\n"+watched)
	mustShip(t, 0, "deploy", image(t, "dazed:v1"), "-c", conf)
	o := stopAt(t, "watch", "", func(*os.Process) {
		if out, err := world.lab.Host("h3").Exec(t.Context(), "docker pause $(docker ps -q --filter label=ship.service=dazed --filter label=ship.version=v2)"); err != nil {
			t.Error(out, err)
		}
	}, "deploy", image(t, "dazed:v2"), "-c", conf)
	if o.code != 1 {
		t.Errorf("want exit 1\n%s", o)
	}
	wants(t, o.stderr, "h3: watch: web did not stay healthy", "the proxy sends it no more requests: no answer within")
	serves(t, "dazed", "v1", "h3")
	oneContainer(t, "dazed", "h3")
}

// TestWorkerThatDiesLater: it settles, and ends two seconds after that. Its predecessor never stopped.
func TestWorkerThatDiesLater(t *testing.T) {
	conf := appOf(t, "tired", []string{"h1", "h3"}, "servers: { worker: { hosts: [h1, h3], proxy: false, cmd: worker } }\n"+watched)
	mustShip(t, 0, "deploy", image(t, "tired:v1"), "-c", conf)
	before := running(t, "tired", "h1")
	o := mustShip(t, 1, "deploy", image(t, "tired:v2", "CRASH_AFTER=5s"), "-c", conf)
	wants(t, o.stderr, "worker did not stay healthy after the switch", "version v2 works", "crashed, as told")
	wants(t, o.stdout, "nothing has changed")
	if after := running(t, "tired", "h1"); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("before %v, after %v", before, after)
	}
}

// TestWatchCutShort: Ctrl-C takes the fleet back, as before the last switch; what a killed run leaves, the next one ends.
func TestWatchCutShort(t *testing.T) {
	conf := appOf(t, "short", fleet, watched)
	mustShip(t, 0, "deploy", image(t, "short:v1"), "-c", conf)
	o := stopAt(t, "watch", "", interrupt, "deploy", image(t, "short:v2"), "-c", conf)
	if o.code != 130 {
		t.Errorf("want exit 130\n%s", o)
	}
	serves(t, "short", "v1", fleet...)
	oneContainer(t, "short", fleet...)
	wants(t, mustShip(t, 0, "lock", "status", "-c", conf).stdout, "h1: free", "sudoer@h3: free")
	stopAt(t, "watch", "", kill, "deploy", image(t, "short:v2"), "-c", conf)
	serves(t, "short", "v2", fleet...)
	mustShip(t, 0, "deploy", image(t, "short:v2"), "-c", conf)
	serves(t, "short", "v2", fleet...)
	oneContainer(t, "short", fleet...)
}

// TestErrorsAfterTheSwitchTakeBack: the new release is healthy by its own account, and answers everybody with 500.
func TestErrorsAfterTheSwitchTakeBack(t *testing.T) {
	conf := appOf(t, "sour", []string{"h1", "h3"}, watched)
	mustShip(t, 0, "deploy", image(t, "sour:v1"), "-c", conf)
	end := loadOn(t, "h1", "sour")
	time.Sleep(time.Second) // the old release makes its record
	end()
	g, err := load.Start(t.Context(), load.Options{URLs: []string{"http://" + world.lab.Host("h1").Addr.String()}, Host: "sour.test"})
	if err != nil {
		t.Fatal(err)
	}
	o := mustShip(t, 1, "deploy", image(t, "sour:v2", "BROKEN=1"), "-c", conf)
	r := g.Stop()
	t.Log(r)
	wants(t, o.stderr, "h1: watch: web did not stay healthy after the switch: it answers", "with 5xx; v1")
	if r.Classes[load.Status] != r.Failed || r.Failed < 20 {
		t.Error(r)
	}
	serves(t, "sour", "v1", "h1", "h3")
	oneContainer(t, "sour", "h1", "h3")
}
