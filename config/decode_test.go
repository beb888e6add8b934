package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSplitWords(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"bin/jobs", []string{"bin/jobs"}},
		{"  a   b\tc ", []string{"a", "b", "c"}},
		{`a 'b c' "d e" f\ g`, []string{"a", "b c", "d e", "f g"}},
		{`a '' ""`, []string{"a", "", ""}},
		{`a'b'"c"d`, []string{"abcd"}},
		{`"a\"b" "c\d" 'e\f' "\$HOME"`, []string{`a"b`, `c\d`, `e\f`, "$HOME"}},
		{`sh -c 'a | b && c > $d'`, []string{"sh", "-c", "a | b && c > $d"}},
		{"", nil},
	} {
		if got, err := splitWords(c.in); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, %v, want %q", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"a | b", "a && b", "a; b", "a > b", "$HOME/x", "`a`", "*.rb", "'a", `"a`, `a\`} {
		if got, err := splitWords(in); err == nil {
			t.Errorf("%q: got %q, want an error", in, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "1048576": 1 << 20, "5B": 5, "10KB": 10_000, "10 MB": 10_000_000, "1GiB": 1 << 30, "3KiB": 3072} {
		if got, ok := parseSize(in); !ok || got != want {
			t.Errorf("%s: got %d, %v, want %d", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "-1", "10m", "10M", "1.5MB", "9223372036854775807KB", "MB", "1 MiBB"} {
		if got, ok := parseSize(in); ok {
			t.Errorf("%q: got %d, want none", in, got)
		}
	}
}

func TestParseVolume(t *testing.T) {
	for in, want := range map[string]Volume{
		"data:/data":       {"data", "/data", false},
		"/srv/a:/data:ro":  {"/srv/a", "/data", true},
		"my.vol-1:/d/e:rw": {"my.vol-1", "/d/e", false},
	} {
		if got, err := ParseVolume(in); err != nil || got != want || got.Named() != !strings.HasPrefix(in, "/") {
			t.Errorf("%s: got %+v, %v, want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "a", "a:b", "./a:/b", "~/a:/b", "a:/", "a:/b:z", "a:/b:ro:x", "-a:/b", "a b:/c", ":/c"} {
		if got, err := ParseVolume(in); err == nil {
			t.Errorf("%q: got %+v, want an error", in, got)
		}
	}
}

func TestDurations(t *testing.T) {
	for in, want := range map[string]time.Duration{"10": 10 * time.Second, "0.25": time.Second / 4, "10s": 10 * time.Second,
		"1m30s": 90 * time.Second, `"500ms"`: time.Second / 2, "0": 0, "24h": 24 * time.Hour, `"7"`: 7 * time.Second} {
		app := mustLoad(t, head+"boot: { wait: "+in+" }\n")
		if app.Boot.Wait != want {
			t.Errorf("%s: got %s, want %s", in, app.Boot.Wait, want)
		}
	}
	for _, in := range []string{"-1", "-1s", "25h", "1e300", ".nan", ".inf", "-.inf", "true", "ten", "[1]", "{}", "10 s"} {
		if _, err := load(t, head+"boot: { wait: "+in+" }\n"); !errors.As(err, new(Errors)) {
			t.Errorf("%s: %v, want Errors", in, err)
		}
	}
}

func TestSSHConfig(t *testing.T) {
	for in, want := range map[string]string{"~/.ssh/config": "/home/ann/.ssh/config", "etc/ssh": "etc/ssh", "none": "none", "false": "none", "true": "", "~": ""} {
		if app := mustLoad(t, head+"ssh: { config: "+in+" }\n"); app.SSH.Config != want {
			t.Errorf("%s: got %q, want %q", in, app.SSH.Config, want)
		}
	}
}

func TestHome(t *testing.T) {
	app := mustLoad(t, head+"secrets_path: ~/secrets\nssh: { keys: [~/a, b] }\n")
	if app.SecretFiles[0] != "/home/ann/secrets" || !slices.Equal(app.SSH.Keys, []string{"/home/ann/a", "b"}) {
		t.Errorf("got %q, %q", app.SecretFiles, app.SSH.Keys)
	}
	if _, err := load(t, head+"secrets_path: ~bob/secrets\n"); !errors.As(err, new(Errors)) {
		t.Errorf("somebody else's home: %v", err)
	}
	text := func(string) ([]byte, error) { return []byte(head + "secrets_path: ~/secrets\n"), nil }
	if _, err := Load("ship.yaml", LoadOptions{ReadFile: text}); !errors.As(err, new(Errors)) {
		t.Errorf("no home: %v", err)
	}
}

func TestHealthcheckForms(t *testing.T) {
	app := mustLoad(t, "service: shop\nimage: shop\nservers: { jobs: { hosts: [a], healthcheck: { cmd: 'test -e /tmp/alive && true' } } }\n")
	if got, want := app.Roles[0].Healthcheck.Test, []string{"CMD-SHELL", "test -e /tmp/alive && true"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestMergeKeys: own keys win over merged ones, earlier maps over later ones.
func TestMergeKeys(t *testing.T) {
	app := mustLoad(t, "x-a: &a { A: 1, B: 1 }\nx-b: &b { A: 2, B: 2, C: 2 }\n"+head+"labels: { <<: [*a, *b], A: own }\n")
	got := app.Roles[0].Labels
	if got["A"] != "own" || got["B"] != "1" || got["C"] != "2" {
		t.Errorf("got %v", got)
	}
}

func TestRoleOverridesRoot(t *testing.T) {
	app := mustLoad(t, `service: shop
image: shop
servers:
  web:
    hosts: [a]
    stop_timeout: 0
    env: { secret: [A], clear: { B: role } }
    volumes: ["mine:/data"]
    proxy: { hosts: [api.example.com] }
env: { clear: { A: root, C: root }, secret: [B] }
volumes: ["theirs:/data", "more:/more"]
proxy: { host: shop.example.com, app_port: 3000, deploy_timeout: 5 }
stop_timeout: 9
`)
	r := app.Roles[0]
	if len(r.Env.Clear) != 2 || r.Env.Clear["B"] != "role" || !slices.Equal(r.Env.Secret, []SecretRef{{"A", "A"}}) {
		t.Errorf("env %+v: a name is clear or secret, whichever is said last", r.Env)
	}
	if !slices.Equal(r.Volumes, []string{"more:/more", "mine:/data"}) || r.StopTimeout != 0 || r.DeployTimeout != 5*time.Second {
		t.Errorf("role %+v", r)
	}
	if !slices.Equal(r.Proxy.Hosts, []string{"api.example.com"}) || r.Proxy.AppPort != 3000 {
		t.Errorf("proxy %+v", r.Proxy)
	}
}

// TestErrorsAreBounded: a file of nothing but mistakes is told in a bounded number of them.
func TestErrorsAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		b.WriteString("k" + strings.Repeat("y", i%7) + string(rune('a'+i%26)) + strings.Repeat("z", i/26) + ": 1\n")
	}
	_, err := load(t, b.String())
	var errs Errors
	if !errors.As(err, &errs) || len(errs) != maxErrors+1 || !strings.Contains(errs[maxErrors].Message, "not shown") {
		t.Errorf("got %d errors", len(errs))
	}
}

func TestErrorIsOneLine(t *testing.T) {
	_, err := load(t, head+"proxy: { app-port: 3 }\n")
	want := `ship.yaml:4:10: proxy: unknown key "app-port" (did you mean "app_port"?)`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestEnvIsNotShown: an error about an environment does not repeat the line it is in.
func TestEnvIsNotShown(t *testing.T) {
	_, err := load(t, head+"env: { clear: { PASSWORD: hunter2, 'A=B': 1 }, secret: ['KEY=hunter2'] }\n")
	var errs Errors
	if !errors.As(err, &errs) || len(errs) != 2 || strings.Contains(errs.Detail()+errs.Error(), "hunter2") {
		t.Errorf("got\n%s", errs.Detail())
	}
}
