package main_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

// TestRemove takes one app off its hosts while another one, and a destination of the same service, serve on.
func TestRemove(t *testing.T) {
	hosts := []string{"h1", "deploy@h2"}
	conf := appOf(t, "gone", hosts, "volumes: [\"gone-data:/data\"]")
	other := appOf(t, "stays", hosts, "")
	mustShip(t, 0, "deploy", image(t, "gone:v1"), "-c", conf)
	mustShip(t, 0, "deploy", image(t, "gone:v2"), "-c", conf)
	mustShip(t, 0, "deploy", image(t, "stays:v1"), "-c", other)

	o := mustShip(t, 80, "remove", "-c", conf)
	wants(t, o.stdout, "h1: would remove 1 route, 2 containers, 0 volumes")
	wants(t, o.stderr, "gone", "--yes")
	serves(t, "gone", "v2", hosts...)

	// Killed in the middle: the next run removes the rest, and the dead one's lock is no obstacle.
	stopAt(t, "remove", "", kill, "remove", "-c", conf, "--yes")
	o = mustShip(t, 0, "remove", "-c", conf, "--yes", "--volumes")
	wants(t, o.stdout, "deploy@h2: removed")
	for _, name := range hosts {
		h := world.lab.Host(bare(name))
		out, err := h.Exec(t.Context(), "docker ps -aq --filter label=ship.service=gone; docker volume ls -q --filter name=gone-data; docker images -q ship/gone:* | sort -u | wc -l")
		if err != nil || strings.TrimSpace(out) != "2" {
			t.Errorf("%s: %q, %v", name, out, err)
		}
		if status, _, _, err := get(t, h, "gone", "/"); err != nil || status != http.StatusNotFound {
			t.Errorf("%s: %d, %v", name, status, err)
		}
	}
	serves(t, "stays", "v1", hosts...)
	wants(t, mustShip(t, 0, "remove", "-c", conf, "-y").stdout, "h1: has nothing of it")
	wants(t, mustShip(t, 0, "audit", "-c", conf).stdout, "remove")
	mustShip(t, 0, "deploy", image(t, "gone:v1"), "-c", conf)
	serves(t, "gone", "v1", hosts...)
}

// TestRemoveWaitsForRequests: what is in flight when the route goes gets its answer. Another run holds the lock meanwhile.
func TestRemoveWaitsForRequests(t *testing.T) {
	conf := appOf(t, "leaver", []string{"h3"}, "")
	mustShip(t, 0, "deploy", image(t, "leaver:v1"), "-c", conf)
	slow := make(chan int, 1)
	o := stopAt(t, "ask", "", func(*os.Process) {
		go func() {
			status, _, _, _ := get(t, world.lab.Host("h3"), "leaver", "/slow?d=4s")
			slow <- status
		}()
	}, "remove", "-c", conf, "--yes")
	if o.code != 0 || <-slow != http.StatusOK {
		t.Error(o)
	}
	wants(t, o.stdout, `"phase":"drain"`, `"containers":["leaver-web-`)
	mustShip(t, 0, "lock", "acquire", "-m", "nobody leaves", "-c", conf)
	mustShip(t, 4, "remove", "-c", conf, "--yes")
	mustShip(t, 0, "lock", "release", "-c", conf)
}
