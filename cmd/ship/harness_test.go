package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ship/internal/event"
	"ship/internal/shiptest/images"
	"ship/internal/shiptest/lab"
	"ship/internal/shiptest/leak"
)

// The tests of this package run the program as a user does, on real hosts: h1 has Docker 20.10 with the graph driver,
// h2 26.1 with the containerd store, h3 28.5 with the graph driver, h4 28.5 with the containerd store and a small disk.
var world struct {
	lab *lab.Lab
	bin string // the program, static as a release is
	dir string // of images, caches, homes
}

func TestMain(m *testing.M) {
	lab.Init()
	os.Exit(leak.Main(runner{m}))
}

type runner struct{ m *testing.M }

// Run sets the world up and tears it down around the tests.
func (r runner) Run() int {
	code, err := r.run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "set up:", err)
		return 1
	}
	return code
}

func (r runner) run() (code int, err error) {
	ctx := context.Background()
	if world.dir, err = os.MkdirTemp("", "ship-e2e-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(world.dir)) }()
	world.bin = filepath.Join(world.dir, "ship")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w -X main.buildVersion=v0-test", "-o", world.bin, "ship/cmd/ship")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build ship: %w: %s", err, out)
	}
	world.lab, err = lab.Up(ctx, lab.Options{Log: os.Stderr, Hosts: []lab.HostOptions{
		{Engine: "bookworm"}, {Engine: "trixie", ContainerdStore: true}, {Engine: "sid"}, {Engine: "sid", ContainerdStore: true, Disk: "700M"},
	}})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, world.lab.Close()) }()
	return r.m.Run(), nil
}

// outcome is how a run of the program ended.
type outcome struct {
	code           int
	stdout, stderr string
	took           time.Duration
}

func (o outcome) String() string {
	return fmt.Sprintf("exit %d after %s\nstdout:\n%s\nstderr:\n%s", o.code, o.took.Round(time.Millisecond), o.stdout, o.stderr)
}

// command prepares a run with a home of its own, so that nothing of this machine's user counts.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	home := filepath.Join(world.dir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), world.bin, append(args, "--ssh-config", world.lab.SSHConfig())...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "SHIP_CACHE=" + filepath.Join(world.dir, "cache")}
	cmd.Dir = t.TempDir()
	return cmd
}

// ship runs the program to its end.
func ship(t *testing.T, args ...string) outcome {
	t.Helper()
	return finish(t, command(t, args...))
}

func finish(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	return finishWith(t, cmd, func(*os.Process, <-chan struct{}) {})
}

// finishWith runs the program to its end, with a watcher beside it until then.
func finishWith(t *testing.T, cmd *exec.Cmd, watch func(p *os.Process, end <-chan struct{})) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	end := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() { watch(cmd.Process, end) })
	err := cmd.Wait()
	close(end)
	watcher.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String(), time.Since(start)}
}

// finishWithin is finish, and fails when the program had more than most bytes of memory at once. The peak that the kernel
// tells with the exit code will not do: it counts what the test's own process had when it started the program.
func finishWithin(t *testing.T, cmd *exec.Cmd, most int64) outcome {
	t.Helper()
	peak := int64(0)
	o := finishWith(t, cmd, func(p *os.Process, end <-chan struct{}) {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				peak = max(peak, peakOf(p))
			case <-end:
				return
			}
		}
	})
	if peak == 0 || peak > most {
		t.Errorf("%v: %d bytes resident, at most %d may be", cmd.Args, peak, most)
	}
	t.Logf("%d MB resident, %s", peak>>20, o.took)
	return o
}

// peakOf is the most memory that the process had resident so far, in bytes; 0 if it has ended.
func peakOf(p *os.Process) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

// mustShip runs the program and wants the exit code.
func mustShip(t *testing.T, code int, args ...string) outcome {
	t.Helper()
	o := ship(t, args...)
	if o.code != code {
		t.Fatalf("ship %s: want exit %d\n%s", strings.Join(args, " "), code, o)
	}
	return o
}

// wants fails unless the text has all the parts.
func wants(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("no %q in:\n%s", p, text)
		}
	}
}

// appOf writes a configuration for a service on hosts, with more YAML below it.
func appOf(t *testing.T, service string, hosts []string, more string) string {
	t.Helper()
	if !strings.Contains(more, "proxy:") {
		more += "\nproxy: { host: " + service + ".test, app_port: 3000, deploy_timeout: 20, drain_timeout: 10 }\n"
	}
	if !strings.Contains(more, "boot:") {
		more += "\nboot: { watch: 0.3 }\n" // these tests are about something else, and there are many
	}
	if !strings.Contains(more, "servers:") {
		more = "servers: [" + strings.Join(hosts, ", ") + "]\n" + more
	}
	file := filepath.Join(t.TempDir(), "ship.yaml")
	text := "service: " + service + "\nimage: docker-archive:none.tar\n" + more
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeApp(service) })
	return file
}

// removeApp takes away what a test deployed. The hosts are shared, so each test must leave them as it found them.
func removeApp(service string) {
	ctx := context.Background()
	for _, h := range world.lab.Hosts {
		_, _ = h.Exec(ctx, "docker ps -aq --filter label=ship.service="+service+" | xargs -r docker rm -f >/dev/null 2>&1; rm -rf /var/lib/ship/"+service)
	}
}

var built sync.Map // ref and habits -> archive

// image makes an archive of the test app: a few megabytes in three layers, of which only the last names the version.
func image(t *testing.T, ref string, env ...string) string {
	t.Helper()
	return imageOf(t, images.Spec{Ref: ref, Version: ref[strings.LastIndex(ref, ":")+1:], Env: env,
		Layers: []images.Layer{{Name: "base", Size: 8 << 20, Files: 20}}})
}

func imageOf(t *testing.T, s images.Spec) string {
	t.Helper()
	key := fmt.Sprintf("%+v", s)
	if path, ok := built.Load(key); ok {
		return "docker-archive:" + path.(string)
	}
	img, err := images.App(t.Context(), world.dir, s)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.CreateTemp(world.dir, "image-*.tar")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), img.DockerArchive(f.Name())); err != nil {
		t.Fatal(err)
	}
	built.Store(key, f.Name())
	return "docker-archive:" + f.Name()
}

// client never reuses a connection by accident of another test's.
func client(h *lab.Host) *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", net.JoinHostPort(h.Addr.String(), "80"))
		}}}
}

// get asks the service on a host for a path.
func get(t *testing.T, h *lab.Host, service, path string) (status int, version, body string, err error) {
	t.Helper()
	resp, err := client(h).Get("http://" + service + ".test" + path)
	if err != nil {
		return 0, "", "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, resp.Header.Get("X-Version"), string(b), err
}

// serves fails unless the service answers with the version on every host.
func serves(t *testing.T, service, version string, hosts ...string) {
	t.Helper()
	for _, name := range hosts {
		status, v, body, err := get(t, world.lab.Host(bare(name)), service, "/")
		if err != nil || status != 200 || v != version {
			t.Errorf("%s on %s: want %s, got %d %q %v %.200s", service, name, version, status, v, err, body)
		}
	}
}

// bare is the host's name without a user.
func bare(name string) string { return name[strings.LastIndex(name, "@")+1:] }

// running lists the names of the service's running containers on a host.
func running(t *testing.T, service, host string) []string {
	t.Helper()
	out, err := world.lab.Host(bare(host)).Exec(t.Context(), "docker ps --filter label=ship.service="+service+" --format '{{.Names}}'")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(out)
}

// oneContainer fails unless exactly one container of the service runs on each host.
func oneContainer(t *testing.T, service string, hosts ...string) {
	t.Helper()
	for _, h := range hosts {
		if got := running(t, service, h); len(got) != 1 {
			t.Errorf("%s: running containers of %s: %v", h, service, got)
		}
	}
}

// stopAt starts the program, waits until it tells of the phase (on the host, unless that is ""), and then does act.
func stopAt(t *testing.T, phase, host string, act func(*os.Process), args ...string) outcome {
	t.Helper()
	return follow(t, command(t, args...), enters(phase, host), act)
}

// enters is the first word of a phase; "" is any host.
func enters(phase, host string) func(event.Event) bool {
	return func(e event.Event) bool { return e.Phase == phase && (host == "" || e.Host == host) }
}

// follow runs a command with --json and does act once, at the first event that at is true for.
func follow(t *testing.T, cmd *exec.Cmd, at func(event.Event) bool, act func(*os.Process)) outcome {
	t.Helper()
	cmd.Args = append(cmd.Args, "--json")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	acted := false
	for sc := bufio.NewScanner(out); sc.Scan(); {
		fmt.Fprintln(&seen, sc.Text())
		var e event.Event
		if !acted && json.Unmarshal(sc.Bytes(), &e) == nil && at(e) {
			acted = true
			act(cmd.Process)
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	o := outcome{cmd.ProcessState.ExitCode(), seen.String(), errs.String(), time.Since(start)}
	if !acted {
		t.Fatalf("what was waited for never came\n%s", o)
	}
	return o
}

func kill(p *os.Process)      { _ = p.Kill() }
func interrupt(p *os.Process) { _ = p.Signal(os.Interrupt) }
func terminate(p *os.Process) { _ = p.Signal(syscall.SIGTERM) }

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}
