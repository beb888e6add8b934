package main_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"ship/orchestrate"
)

// TestMaintenance: on all hosts, through a deploy and kill -9 of the proxy, until somebody ends it.
func TestMaintenance(t *testing.T) {
	hosts := []string{"h1", "h2"}
	conf := appOf(t, "works", hosts, "")
	mustShip(t, 0, "deploy", image(t, "works:v1"), "-c", conf)
	mustShip(t, 0, "proxy", "upgrade", "-c", conf) // to this build
	wants(t, mustShip(t, 0, "maintenance", "on", "--message", "back at noon", "--retry-after", "10m", "-c", conf).stdout, "h1", "h2")
	closed := func(after string) {
		t.Helper()
		for _, h := range hosts {
			status, retry, body := ask(t, h, "works")
			if status != http.StatusServiceUnavailable || retry != "600" || !strings.Contains(body, "back at noon") {
				t.Errorf("%s after %s: %d, retry after %q: %s", h, after, status, retry, body)
			}
		}
	}
	closed("maintenance on")
	wants(t, mustShip(t, 0, "status", "-c", conf).stdout, "maintenance for", "back at noon")
	wants(t, mustShip(t, 0, "proxy", "status", "-c", conf).stdout, "maintenance for")
	mustShip(t, 0, "deploy", image(t, "works:v2"), "-c", conf)
	if _, err := world.lab.Host("h1").Exec(t.Context(), "kill -9 $(docker top ship-proxy -eo pid,args | awk '/proxy work/{print $1}')"); err != nil {
		t.Fatal(err)
	}
	if _, err := world.lab.Host("h2").Exec(t.Context(), "docker restart -t 1 ship-proxy"); err != nil {
		t.Fatal(err)
	}
	closed("a deploy and a crash")
	mustShip(t, 0, "maintenance", "off", "-H", "h2", "-c", conf)
	serves(t, "works", "v2", "h2")
	if status, _, _ := ask(t, "h1", "works"); status != http.StatusServiceUnavailable {
		t.Errorf("h1 was not asked to end it: %d", status)
	}
	if _, err := world.lab.Host("h2").Exec(t.Context(), "docker stop -t 1 ship-proxy"); err != nil {
		t.Fatal(err)
	}
	o := mustShip(t, 3, "maintenance", "off", "-c", conf)
	wants(t, o.stdout, "maintenance off: h1, and not on all hosts")
	wants(t, o.stderr, "h2: web: ")
	if _, err := world.lab.Host("h2").Exec(t.Context(), "docker start ship-proxy"); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := ask(t, "h2", "works"); status != http.StatusOK {
		t.Errorf("h2 after a restart: %d", status)
	}
	mustShip(t, 0, "maintenance", "off", "-c", conf)
	serves(t, "works", "v2", hosts...)
	var last struct {
		Result struct {
			Result struct{ Containers []orchestrate.StatusRow }
		}
	}
	lines := strings.Split(strings.TrimSpace(mustShip(t, 0, "status", "--json", "-c", conf).stdout), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || len(last.Result.Result.Containers) < 2 {
		t.Fatal(err, lines)
	}
	for _, r := range last.Result.Result.Containers {
		if r.Halt != nil {
			t.Errorf("%+v", r)
		}
	}
	wants(t, mustShip(t, 80, "maintenance", "on", "-c", appOf(t, "works", hosts, "servers: { jobs: { hosts: [h1], proxy: false } }")).stderr, "behind the proxy")
}

// ask asks the service on a host, and also for what the answer says of another time.
func ask(t *testing.T, host, service string) (status int, retry, body string) {
	t.Helper()
	resp, err := client(world.lab.Host(host)).Get("http://" + service + ".test/")
	for range 50 { // a container of the proxy may have just been started
		if err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
		resp, err = client(world.lab.Host(host)).Get("http://" + service + ".test/")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Retry-After"), string(b)
}

// TestPause: what comes meanwhile waits and meets the new release; and a pause that nobody ends does so by itself.
func TestPause(t *testing.T) {
	conf := appOf(t, "waits", []string{"h3"}, "")
	mustShip(t, 0, "deploy", image(t, "waits:v1"), "-c", conf)
	mustShip(t, 0, "proxy", "upgrade", "-c", conf) // to this build
	wants(t, mustShip(t, 80, "pause", "--for", "20m", "-c", conf).stderr, "at most 10m0s")
	mustShip(t, 0, "pause", "-c", conf)
	answer := make(chan string, 1)
	go func() {
		c := client(world.lab.Host("h3"))
		c.Timeout = 20 * time.Second
		resp, err := c.Get("http://waits.test/")
		if err != nil {
			answer <- err.Error()
			return
		}
		_ = resp.Body.Close()
		answer <- resp.Status + " " + resp.Header.Get("X-Version")
	}()
	mustShip(t, 0, "deploy", image(t, "waits:v2"), "-c", conf)
	select {
	case got := <-answer:
		t.Errorf("not held: %s", got)
	default:
	}
	wants(t, mustShip(t, 0, "status", "-c", conf).stdout, "pause for")
	wants(t, mustShip(t, 0, "resume", "-c", conf).stdout, "resume: h3\n")
	if got := <-answer; got != "200 OK v2" {
		t.Errorf("after it: %s", got)
	}
	mustShip(t, 0, "pause", "--for", "1s", "-c", conf)
	if status, retry, body := ask(t, "h3", "waits"); status != http.StatusServiceUnavailable || retry != "1" {
		t.Errorf("nobody resumed: %d %q %s", status, retry, body)
	}
	serves(t, "waits", "v2", "h3")
	wants(t, mustShip(t, 0, "resume", "-c", conf).stdout, "there was nothing to end")
}
