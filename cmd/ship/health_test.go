package main_test

import (
	"net/http"
	"regexp"
	"testing"
	"time"
)

// TestStatusShowsHealth: an app that hangs is ejected, and serves again when it is back. `ship status` says so, and why.
func TestStatusShowsHealth(t *testing.T) {
	conf := appOf(t, "frail", []string{"h3"}, "proxy: { host: frail.test, app_port: 3000, response_timeout: 1, healthcheck: { interval: 0.1, timeout: 0.3, failures: 2 } }\n")
	mustShip(t, 0, "deploy", image(t, "frail:v1"), "-c", conf)
	if out := mustShip(t, 0, "status", "-c", conf).stdout; !regexp.MustCompile(`healthy for \S+, answered 200`).MatchString(out) {
		t.Error(out)
	}
	h := world.lab.Host("h3")
	app := running(t, "frail", "h3")[0]
	if out, err := h.Exec(t.Context(), "docker pause "+app); err != nil {
		t.Fatal(err, out)
	}
	becomes(t, "frail", http.StatusServiceUnavailable)
	for _, what := range [][]string{{"status"}, {"proxy", "status"}} {
		if out := mustShip(t, 0, append(what, "-c", conf)...).stdout; !regexp.MustCompile(`ejected for \S+, no answer within 0?\.?\d+`).MatchString(out) {
			t.Error(out)
		}
	}
	if out, err := h.Exec(t.Context(), "docker unpause "+app); err != nil {
		t.Fatal(err, out)
	}
	becomes(t, "frail", http.StatusOK)
}

// becomes waits until the service on h3 answers with a status.
func becomes(t *testing.T, service string, want int) {
	t.Helper()
	var got int
	var err error
	for range 60 {
		if got, _, _, err = get(t, world.lab.Host("h3"), service, "/"); err == nil && got == want {
			return
		}
		time.Sleep(250 * time.Millisecond)
	}
	t.Errorf("want %d, got %d, %v", want, got, err)
}
