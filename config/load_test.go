package config

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

const testdata = "../testdata/config"

// getenv is an environment for tests. TOKEN's value must never be seen in a message.
func getenv(name string) (string, bool) {
	env := map[string]string{"VERSION": "v7", "TOKEN": "hunter2", "PORT": "3000", "EMPTY": "", "STRIP": "true", "HOME": "/home/ann"}
	v, ok := env[name]
	return v, ok
}

func load(t *testing.T, text string) (*App, error) {
	t.Helper()
	return Load("ship.yaml", LoadOptions{Getenv: getenv, ReadFile: func(path string) ([]byte, error) {
		if path != "ship.yaml" {
			return nil, fs.ErrNotExist
		}
		return []byte(text), nil
	}})
}

func mustLoad(t *testing.T, text string) *App {
	t.Helper()
	app, err := load(t, text)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

const head = "service: shop\nimage: shop\nservers: [web-1]\n"

func TestLoadFull(t *testing.T) {
	app, err := Load(filepath.Join(testdata, "good/full.yaml"), LoadOptions{Getenv: getenv})
	if err != nil {
		t.Fatal(err)
	}
	key := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	probe := Probe{Type: "http", Status: []string{"200-204", "401"}, Path: "/healthz", Host: "shop.example.com", Interval: time.Second / 2, Timeout: 2 * time.Second, Successes: 2, Failures: 5}
	web := &Proxy{Hosts: []string{"shop.example.com", "*.shop.example.com"}, AppPort: 3000, PathPrefix: "/", Probe: probe,
		DrainTimeout: 20 * time.Second, DeployTimeout: 90 * time.Second, ResponseTimeout: 10 * time.Second, MaxRequestBody: 10 << 20,
		Redirects: map[string]string{"/old": "/new", "/away": "https://example.com/"},
		Compress:  true, Sticky: true,
		Speaks:    "h2c",
		RateLimit: &RateLimit{Requests: 100, Per: time.Second, Burst: 250},
		BasicAuth: &BasicAuth{"ann", "SITE_PASSWORD"}, ErrorPages: "/home/ann/shop/errors",
		TLS:   &TLS{Certificate: "/home/ann/tls/shop.pem", PrivateKey: "SHOP_TLS_KEY", HSTS: 30 * 24 * time.Hour},
		Allow: []string{"198.51.100.0/24"}, CanonicalHost: "shop.example.com", TrustedProxies: []string{"10.0.0.0/8", "2001:db8::/32", "192.0.2.7"}}
	api := *web
	api.Hosts, api.AppPort, api.PathPrefix, api.StripPathPrefix = []string{"api.example.com"}, 4000, "/v1", true
	api.CanonicalHost = "" // the root's is none of its hosts
	api.Redirects = nil    // the root's are not below its prefix
	clear := map[string]string{"RAILS_ENV": "production", "MOTD": "hello $5", "LEADING": "010"}
	secret := []SecretRef{{"DATABASE_URL", "DATABASE_URL"}, {"REDIS_URL", "SHARED_REDIS_URL"}}
	data := "/srv/shop/data:/app/data:ro"
	labels := map[string]string{"team": "shop", "version": "1.10"}
	want := &App{
		Service: "shop", Image: "docker-daemon:shop:v7",
		Roles: []Role{
			{Name: "web", Replicas: 3, Hosts: []string{"web-1", "deploy@web-2:2222"}, Proxy: web, Env: Env{clear, secret},
				DeployTimeout: 90 * time.Second, StopTimeout: 15 * time.Second, Volumes: []string{data, "uploads:/app/public/uploads"},
				Labels: map[string]string{"team": "shop", "version": "1.10", "tier": "front"}},
			{Name: "jobs", Replicas: 1, Hosts: []string{"web-1", "[2001:db8::7]:22"}, Cmd: []string{"bin/jobs", "--queue", "high priority"},
				Env: Env{map[string]string{"RAILS_ENV": "worker", "WORKERS": "4", "MOTD": "hello $5", "LEADING": "010"},
					[]SecretRef{{"DATABASE_URL", "DATABASE_URL"}, {"REDIS_URL", "REDIS_URL"}}},
				Healthcheck: &Healthcheck{Test: []string{"CMD", "bin/alive", "--quick"}, Interval: 2 * time.Second,
					Timeout: time.Second, Retries: 5},
				DeployTimeout: 90 * time.Second, StopTimeout: time.Minute, Volumes: []string{data}, Labels: labels},
			{Name: "api", Replicas: 1, Hosts: []string{"web-1"}, Proxy: &api, Env: Env{clear, secret}, DeployTimeout: 90 * time.Second,
				StopTimeout: 15 * time.Second, Volumes: []string{data}, Labels: labels},
		},
		SSH: SSH{User: "deploy", Port: 22, Jump: "ops@bastion", Config: "/home/ann/.ssh/config",
			Keys: []string{"/home/ann/.ssh/deploy", "/home/ann/.ssh/deploy-old"}, HostKeys: map[string]string{"web-1": key}},
		Proxy: ProxyRun{HTTPPort: 8080, HTTPSPort: 8443, MetricsAddr: "127.0.0.1:9090", LogPercent: 12.5}, Boot: Boot{Percent: 25, Wait: 2 * time.Second, Watch: 5 * time.Second}, Retain: 3,
		Transfer:    Transfer{Helper: true, Delta: "on", BWLimit: 10_000_000, Groups: map[string]string{"web-1": "eu", "deploy@web-2:2222": "us"}},
		SecretFiles: []string{".ship/secrets"}, Files: []string{filepath.Join(testdata, "good/full.yaml")},
	}
	if i := slices.IndexFunc(app.Origins, func(o Origin) bool { return o.Path == "servers.web.hosts[1]" }); i < 0 || app.Origins[i].Line != 10 {
		t.Errorf("origin of the second host: %+v", app.Origins)
	}
	app.Origins = nil
	if !reflect.DeepEqual(app, want) {
		t.Errorf("got  %+v\nwant %+v", app, want)
		for i := range app.Roles {
			t.Logf("role %+v proxy %+v", app.Roles[i], app.Roles[i].Proxy)
		}
	}
	if got, want := app.Hosts(), []string{"web-1", "deploy@web-2:2222", "[2001:db8::7]:22"}; !slices.Equal(got, want) {
		t.Errorf("hosts %q, want %q", got, want)
	}
}

func TestLoadDefaults(t *testing.T) {
	app, err := Load(filepath.Join(testdata, "good/minimal.yaml"), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{AppPort: 80, PathPrefix: "/", Probe: Probe{Type: "http", Path: "/up", Interval: time.Second, Timeout: 5 * time.Second, Successes: 1, Failures: 3},
		DrainTimeout: 30 * time.Second, DeployTimeout: 30 * time.Second, ResponseTimeout: 30 * time.Second, Speaks: "http"}
	want := []Role{{Name: "web", Replicas: 1, Hosts: []string{"web-1", "web-2"}, Proxy: p, Env: Env{Clear: map[string]string{}},
		DeployTimeout: 30 * time.Second, StopTimeout: 10 * time.Second, Labels: map[string]string{}}}
	if !reflect.DeepEqual(app.Roles, want) {
		t.Errorf("got %+v, want %+v", app.Roles, want)
	}
	if app.Retain != 5 || app.Proxy != (ProxyRun{HTTPPort: 80, HTTPSPort: 443, LogPercent: 100}) || !slices.Equal(app.SecretFiles, []string{".ship/secrets"}) || app.Boot != (Boot{Watch: 3 * time.Second}) {
		t.Errorf("got %+v", app)
	}
}

func TestLoadDestination(t *testing.T) {
	path := filepath.Join(testdata, "good/ship.yaml")
	app, err := Load(path, LoadOptions{Destination: "staging"})
	if err != nil {
		t.Fatal(err)
	}
	if app.Destination != "staging" || len(app.Files) != 2 || app.Boot != (Boot{Watch: 3 * time.Second}) {
		t.Errorf("got %+v", app)
	}
	if got, want := app.Hosts(), []string{"stage-1", "stage-2"}; !slices.Equal(got, want) {
		t.Errorf("hosts %q, want %q: lists are replaced", got, want)
	}
	web := app.Roles[0]
	if want := []string{"staging.example.com", "old.example.com"}; !slices.Equal(web.Proxy.Hosts, want) || web.Proxy.AppPort != 3000 {
		t.Errorf("proxy %+v: hosts replace host, the rest stays", web.Proxy)
	}
	want := Env{map[string]string{"RAILS_ENV": "staging", "LOG": "info"}, []SecretRef{{"TOKEN", "TOKEN"}}}
	if !reflect.DeepEqual(web.Env, want) {
		t.Errorf("env %+v, want %+v: the short form merges with the long one", web.Env, want)
	}
	if got := app.Roles[1].Cmd; !slices.Equal(got, []string{"bin/jobs"}) {
		t.Errorf("cmd of jobs %q", got)
	}
	if want := []string{".ship/secrets.staging", ".ship/secrets"}; !slices.Equal(app.SecretFiles, want) {
		t.Errorf("secret files %q, want %q", app.SecretFiles, want)
	}
	var nowhere *NotFoundError
	if _, err := Load(path, LoadOptions{Destination: "nope"}); !errors.As(err, &nowhere) || len(nowhere.Tried) != 2 {
		t.Errorf("unknown destination: %v", err)
	}
	var errs Errors
	if _, err := Load(path, LoadOptions{Destination: "../x"}); !errors.As(err, &errs) {
		t.Errorf("destination that is a path: %v", err)
	}
}

func TestLoadKamal(t *testing.T) {
	app, err := Load(filepath.Join(testdata, "good/kamal.yaml"), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"bash", "-c", "(env && cat config/crontab) | crontab - && cron -f"}; !slices.Equal(app.Roles[1].Cmd, want) {
		t.Errorf("cmd %q, want %q", app.Roles[1].Cmd, want)
	}
	if app.Roles[1].Proxy != nil || app.Roles[1].StopTimeout != 30*time.Second {
		t.Errorf("role cron %+v", app.Roles[1])
	}
}

// TestBad compares all messages about a bad file with the golden text beside it.
func TestBad(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testdata, "bad/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			app, err := Load(path, LoadOptions{Getenv: getenv, ReadFile: os.ReadFile})
			var errs Errors
			if !errors.As(err, &errs) || app != nil || errs.ExitCode() != 80 {
				t.Fatalf("got %+v, %v", app, err)
			}
			got := strings.ReplaceAll(errs.Detail(), filepath.Dir(path)+"/", "")
			golden := strings.TrimSuffix(path, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if strings.Contains(got, "hunter2") && filepath.Base(path) == "variables.yaml" {
				t.Error("shows the value of a variable")
			}
		})
	}
}

func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	_, err := Load(filepath.Join(dir, "ship.yaml"), LoadOptions{})
	var nowhere *NotFoundError
	if !errors.As(err, &nowhere) || !errors.Is(err, fs.ErrNotExist) || nowhere.ExitCode() != 80 {
		t.Errorf("no file: %v", err)
	}
	if _, err := Load(dir, LoadOptions{}); err == nil || errors.As(err, &nowhere) {
		t.Errorf("a directory: %v", err)
	}
	large := filepath.Join(dir, "large.yaml")
	if err := os.WriteFile(large, []byte(head+"# "+strings.Repeat("x", maxFile)), 0o644); err != nil {
		t.Fatal(err)
	}
	var errs Errors
	if _, err := Load(large, LoadOptions{}); !errors.As(err, &errs) {
		t.Errorf("large file: %v", err)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	_, err := Find(dir)
	var nowhere *NotFoundError
	if !errors.As(err, &nowhere) || len(nowhere.Tried) != 3 {
		t.Fatalf("empty folder: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "config"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config/ship.yaml", "ship.yml", "ship.yaml"} { // each goes before those written already
		want := filepath.Join(dir, name)
		if err := os.WriteFile(want, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := Find(dir); got != want || err != nil {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}

func TestProxiedRoles(t *testing.T) {
	const app = "service: shop\nimage: shop\n"
	for _, c := range []struct {
		name, text string
		want       string // names of proxied roles
	}{
		{"list", "servers: [a]", "web"},
		{"the only role", "servers: {app: [a]}", "app"},
		{"web among others", "servers: {jobs: [b], web: [a]}", "web"},
		{"none", "servers: {jobs: [b], app: [a]}", ""},
		{"said so", "servers: {jobs: [b], app: {hosts: [a], proxy: true}}", "app"},
		{"by a map", "servers: {jobs: [b], app: {hosts: [a], proxy: {app_port: 1}}}", "app"},
		{"not web", "servers: {web: {hosts: [a], proxy: false}}", ""},
		{"nothing said", "servers: {web: {hosts: [a], proxy: ~}}", "web"},
		{"apart by path", "servers: {web: [a], api: {hosts: [a], proxy: {path_prefix: /api}}}", "web api"},
		{"apart by host", "servers: {web: [a], api: {hosts: [b], proxy: true}}", "web api"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, r := range mustLoad(t, app+c.text).Roles {
				if r.Proxy != nil {
					got = append(got, r.Name)
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestGroupSize(t *testing.T) {
	for _, c := range []struct {
		boot        Boot
		hosts, want int
	}{
		{Boot{}, 10, 10}, {Boot{}, 0, 1}, {Boot{Limit: 3}, 10, 3}, {Boot{Limit: 30}, 10, 10},
		{Boot{Percent: 25}, 10, 2}, {Boot{Percent: 25}, 3, 1}, {Boot{Percent: 100}, 7, 7},
	} {
		if got := c.boot.GroupSize(c.hosts); got != c.want {
			t.Errorf("%+v of %d: got %d, want %d", c.boot, c.hosts, got, c.want)
		}
	}
}

func TestTemplate(t *testing.T) {
	for _, c := range []struct {
		service, image string
		hosts          []string
	}{
		{"shop", "docker-daemon:shop:latest", []string{"web-1", "deploy@192.0.2.7:2222"}},
		{"0123", "oci:some folder # x", []string{"[2001:db8::7]:22", "true"}},
		{"a", `docker-archive:a"b\c.tar`, []string{"web-1"}},
		{"a", "docker-daemon:shop:${VERSION:-latest}", []string{"web-1"}},
		{"a", "${UNSET:-a b}", []string{"web-1"}},
	} {
		app := mustLoad(t, string(Template(c.service, c.image, c.hosts)))
		image := strings.NewReplacer("${VERSION:-latest}", "v7", "${UNSET:-a b}", "a b").Replace(c.image)
		if app.Service != c.service || app.Image != image || !slices.Equal(app.Hosts(), c.hosts) {
			t.Errorf("got %+v, want %+v", app, c)
		}
	}
}

func TestServiceName(t *testing.T) {
	for in, want := range map[string]string{"shop": "shop", "My Shop!": "my-shop", "..": "app", "": "app", "_x": "x", "Größe": "gr-e",
		strings.Repeat("a-", 40): strings.Repeat("a-", 19) + "a"} {
		got := ServiceName(in)
		if got != want || checkName(got) != nil {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// TestRedirects: the role's table is laid over the root's, and what does not reach the role is refused.
func TestRedirects(t *testing.T) {
	app := mustLoad(t, head+"proxy: { redirects: { /a: /b } }\n")
	if got := app.Roles[0].Proxy.Redirects; !reflect.DeepEqual(got, map[string]string{"/a": "/b"}) {
		t.Errorf("%v", got)
	}
	for text, want := range map[string]string{
		"path_prefix: /api, redirects: { /a: /b }": "those below /api",
		"redirects: { /a: /a }":                    "is redirected itself",
		"redirects: { /a: \"/b?x\", /b: /c }":      "is redirected itself",
		"redirects: { /a: 'x' }":                   "leads nowhere",
		"redirects: { /a: '/\\x' }":                "leads nowhere",
		"redirects: [ /a ]":                        "expected a map",
	} {
		if _, err := load(t, head+"proxy: { "+text+" }\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
