package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rewrite copies a file with one text replaced by another.
func rewrite(t *testing.T, file, old, with string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		t.Fatalf("no %q in %s", old, b)
	}
	out := filepath.Join(t.TempDir(), "ship.yaml")
	if err := os.WriteFile(out, []byte(strings.ReplaceAll(string(b), old, with)), 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestBadInput: each mistake has its exit code, and a message that names it.
func TestBadInput(t *testing.T) {
	good := appOf(t, "strict", []string{"h1"}, "")
	v1 := image(t, "strict:v1")
	other := filepath.Join(t.TempDir(), "known_hosts")
	b, err := os.ReadFile(world.lab.KnownHosts())
	if err != nil {
		t.Fatal(err)
	}
	// The keys of two hosts exchanged: the host answers with another key than is known of it.
	changed := strings.NewReplacer(world.lab.Host("h1").Addr.String()+" ", "x ", world.lab.Host("h2").Addr.String()+" ", world.lab.Host("h1").Addr.String()+" ").Replace(string(b))
	if err := os.WriteFile(other, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		code  int
		args  []string
		parts []string
	}{
		"no command":            {80, nil, []string{"hint"}},
		"unknown flag":          {80, []string{"deploy", "--nope"}, []string{"nope"}},
		"no configuration":      {80, []string{"deploy"}, []string{"ship.yaml", "ship init"}},
		"unknown key":           {80, []string{"deploy", v1, "-c", rewrite(t, good, "proxy:", "proxies:")}, []string{"proxies", ":5:1"}},
		"wrong type":            {80, []string{"deploy", v1, "-c", rewrite(t, good, "app_port: 3000", "app_port: many")}, []string{"app_port"}},
		"missing file":          {80, []string{"deploy", "docker-archive:/no/such.tar", "-c", good}, []string{"/no/such.tar"}},
		"unknown source":        {80, []string{"deploy", "ftp://thing/x", "-c", good}, []string{"ftp", "docker-archive"}},
		"no host matches":       {80, []string{"deploy", v1, "-c", good, "-H", "h9"}, []string{"h9"}},
		"unknown name":          {101, []string{"deploy", v1, "-c", rewrite(t, good, "[h1]", "[nowhere.invalid]")}, []string{"nowhere.invalid", "hint"}},
		"nobody answers":        {101, []string{"deploy", v1, "-c", rewrite(t, good, "[h1]", `["`+world.lab.Host("h1").Addr.String()+`:2222"]`)}, []string{"2222"}},
		"changed key":           {101, []string{"push", v1, "h1", "--known-hosts", other}, []string{"h1", "SHA256:"}},
		"unknown key of a host": {101, []string{"push", v1, "h1", "--known-hosts", empty}, []string{"h1", "SHA256:", "hint"}},
		"no key for the user":   {101, []string{"push", v1, "games@h1"}, []string{"games@h1", "log in", "hint"}},
		"no rights":             {82, []string{"deploy", v1, "-c", rewrite(t, good, "[h1]", "[nobody2@h1]")}, []string{"nobody2", "docker", "usermod"}},
		"no rights to push":     {82, []string{"push", v1, "nobody2@h1"}, []string{"nobody2", "usermod"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := ship(t, tc.args...)
			if o.code != tc.code {
				t.Errorf("want exit %d\n%s", tc.code, o)
			}
			wants(t, o.stderr, tc.parts...)
		})
	}
}

func TestPortTaken(t *testing.T) {
	const file = "proxy: { host: taken.test, app_port: 3000, run: { http_port: 8099 } }"
	h := world.lab.Host("h4")
	conf := appOf(t, "taken", []string{"h4"}, file)
	listener := h.Command(t.Context(), "perl", "-MIO::Socket::INET", "-e", `$s = IO::Socket::INET->new(LocalPort => 8099, Listen => 1) or die; sleep 60`)
	if err := listener.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Process.Kill(); _ = listener.Wait() }()
	for range 50 {
		if out, _ := h.Exec(t.Context(), "ss -ltn"); strings.Contains(out, ":8099") {
			break
		}
	}
	o := mustShip(t, 82, "deploy", image(t, "taken:v1"), "-c", conf)
	wants(t, o.stderr, "h4", "8099", "hint")
	if got := running(t, "taken", "h4"); len(got) != 0 {
		t.Errorf("running: %v", got)
	}
}

func TestInitWritesWhatLoads(t *testing.T) {
	cmd := command(t, "init", "--service", "fresh", "--host", "h1")
	if o := finish(t, cmd); o.code != 0 {
		t.Fatal(o)
	}
	again := command(t, "init")
	again.Dir = cmd.Dir
	if o := finish(t, again); o.code != 80 {
		t.Errorf("init over a file: %s", o)
	}
	show := command(t, "config")
	show.Dir = cmd.Dir
	o := finish(t, show)
	if o.code != 0 {
		t.Fatal(o)
	}
	wants(t, o.stdout, "fresh", "h1")
}
