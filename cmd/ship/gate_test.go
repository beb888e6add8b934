package main_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestBasicAuth: the password opens the door, and lies about nowhere.
func TestBasicAuth(t *testing.T) {
	const password = "s3ntinel-Pw7"
	conf := appOf(t, "door", []string{"h2"}, "proxy: { host: door.test, app_port: 3000, basic_auth: { user: ann, password: SITE_PASSWORD } }")
	wants(t, mustShip(t, 80, "deploy", image(t, "door:v1"), "-c", conf).stderr, "SITE_PASSWORD")
	deploy := func() outcome {
		t.Helper()
		cmd := command(t, "deploy", image(t, "door:v1"), "-c", conf, "-v")
		cmd.Env = append(cmd.Env, "SITE_PASSWORD="+password)
		o := finish(t, cmd)
		if o.code != 0 || strings.Contains(o.stdout+o.stderr, password) {
			t.Fatal(o)
		}
		return o
	}
	deploy()
	h := world.lab.Host("h2")
	for given, want := range map[string]int{"": 401, "wrong": 401, password: 200} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://door.test/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if given != "" {
			req.SetBasicAuth("ann", given)
		}
		resp, err := client(h).Do(req)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("with %q: %v, %v", given, resp, err)
		}
		_ = resp.Body.Close()
	}
	found, err := h.Exec(t.Context(), "docker ps -aq | xargs docker inspect | grep -c "+password+"; grep -rl "+password+" /var/lib/ship /home /root /tmp /etc 2>/dev/null; docker logs ship-proxy 2>&1 | grep -c "+password+"; true")
	if err != nil || strings.TrimSpace(found) != "0\n0" {
		t.Errorf("the password lies about on the host: %q, %v", found, err)
	}
	before := running(t, "door", "h2")
	deploy()
	if after := running(t, "door", "h2"); strings.Join(before, " ") != strings.Join(after, " ") {
		t.Errorf("nothing has changed, and %v was replaced by %v", before, after)
	}
}
