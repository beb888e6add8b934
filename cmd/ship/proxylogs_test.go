package main_test

import (
	"bufio"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestProxyLogsFollow across an upgrade of the proxy: requests to the old one and to its successor are there, by host.
func TestProxyLogsFollow(t *testing.T) {
	conf := appOf(t, "told", []string{"h1", "h3"}, "")
	mustShip(t, 0, "deploy", image(t, "told:v1"), "-c", conf)
	mustShip(t, 0, "proxy", "upgrade", "-c", conf)
	cmd := command(t, "proxy", "logs", "-f", "-n", "1", "-H", "h3", "-c", conf)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	ask := func(path string) {
		t.Helper()
		deadline := time.After(15 * time.Second)
		again := time.NewTicker(300 * time.Millisecond)
		defer again.Stop()
		for {
			select {
			case <-again.C:
				if status, _, _, err := get(t, world.lab.Host("h3"), "told", path); err != nil || status != http.StatusNotFound {
					t.Fatal(status, err)
				}
			case l, ok := <-lines:
				if !ok || !strings.HasPrefix(l, "h3 | ") {
					t.Fatalf("%v %q", ok, l)
				}
				if strings.Contains(l, path) {
					return
				}
			case <-deadline:
				t.Fatalf("%s is not told of", path)
			}
		}
	}
	ask("/before")
	change := rewrite(t, conf, "app_port: 3000,", "app_port: 3000, run: { metrics_port: 9090, access_log: { sample: 99.9% } },")
	mustShip(t, 0, "proxy", "upgrade", "-H", "h3", "-c", change)
	ask("/after")
	metrics, err := world.lab.Host("h3").Exec(t.Context(), "curl -s http://127.0.0.1:9090/metrics || wget -qO- http://127.0.0.1:9090/metrics")
	if err != nil || !strings.Contains(metrics, `ship_proxy_target_healthy{service="told.web"`) {
		t.Errorf("%v: %s", err, metrics)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for range lines { // until it ends
	}
	_ = cmd.Wait() // interrupted
	mustShip(t, 0, "proxy", "upgrade", "-H", "h3", "-c", conf)
}
