package main_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ship/proxy"
)

// TestErrorPages: a page goes with its release, through a dead app, an upgrade of the proxy and a rollback.
func TestErrorPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "errors")
	plain := appOf(t, "pages", []string{"h1"}, "")
	conf := appOf(t, "pages", []string{"h1"}, "proxy: { host: pages.test, app_port: 3000, deploy_timeout: 20, drain_timeout: 10, error_pages: "+dir+" }")
	refused := func(what string, want ...string) {
		t.Helper()
		o := mustShip(t, 80, "deploy", image(t, "pages:v1"), "-c", conf)
		wants(t, o.stderr, append(want, "ship.yaml:4:", ": proxy.error_pages: ")...)
		if t.Failed() {
			t.Fatal(what)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused("no folder", "no folder")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write("500.html", "the app's affair")
	refused("no page", "none of", "503.html")
	write("503.html", "a\n{{ .Messages }}")
	refused("a placeholder", "503.html: line 2", "{{ .Message }}")
	write("503.html", "caf\xe9")
	refused("Latin-1", "503.html: it is not UTF-8")
	half := strings.Repeat("a", proxy.MaxErrorPages/2+1)
	write("502.html", half)
	write("503.html", half)
	refused("too much", "at most 262144 are allowed")
	if err := os.Remove(filepath.Join(dir, "502.html")); err != nil {
		t.Fatal(err)
	}

	mustShip(t, 0, "deploy", image(t, "pages:v0"), "-c", plain)
	mustShip(t, 0, "proxy", "upgrade", "-c", plain) // to this build
	write("503.html", "<h1>one</h1>{{ .Message }}")
	mustShip(t, 0, "deploy", image(t, "pages:v1"), "-c", conf)
	write("503.html", "<h1>two</h1>{{ .Message }}")
	mustShip(t, 0, "deploy", image(t, "pages:v2"), "-c", conf)
	wants(t, mustShip(t, 0, "deploy", image(t, "pages:v2"), "-c", conf).stderr, "nothing to do")
	dead := func(page string) {
		t.Helper()
		if _, err := world.lab.Host("h1").Exec(t.Context(), "docker kill $(docker ps -q --filter label=ship.service=pages)"); err != nil {
			t.Fatal(err)
		}
		if status, _, body := ask(t, "h1", "pages"); status != http.StatusServiceUnavailable || !strings.HasPrefix(body, "<h1>"+page+"</h1>The service ") {
			t.Errorf("want page %s: %d %s", page, status, body)
		}
	}
	mustShip(t, 0, "maintenance", "on", "--message", "back <at> noon", "-c", conf)
	if _, _, body := ask(t, "h1", "pages"); body != "<h1>two</h1>back &lt;at&gt; noon" {
		t.Errorf("maintenance: %s", body)
	}
	mustShip(t, 0, "maintenance", "off", "-c", conf)
	dead("two")
	mustShip(t, 0, "proxy", "upgrade", "-c", conf)
	if _, _, body := ask(t, "h1", "pages"); !strings.HasPrefix(body, "<h1>two</h1>") {
		t.Errorf("after the upgrade: %s", body)
	}
	mustShip(t, 0, "rollback", "v1", "-c", conf)
	serves(t, "pages", "v1", "h1")
	dead("one")

	// What is gone from the proxy keeps no release from serving.
	volume := "$(docker volume inspect -f '{{.Mountpoint}}' ship-proxy)"
	if _, err := world.lab.Host("h1").Exec(t.Context(), "rm "+volume+"/*.page"); err != nil {
		t.Fatal(err)
	}
	wants(t, mustShip(t, 0, "rollback", "v2", "-c", conf).stderr, "has not kept 1 of the error pages")
	serves(t, "pages", "v2", "h1")
}
