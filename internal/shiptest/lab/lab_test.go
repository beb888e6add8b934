//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ship/internal/shiptest/leak"
)

func TestMain(m *testing.M) {
	Init()
	if where := os.Getenv(upInChild); where != "" {
		upAndWait(where)
	}
	os.Exit(leak.Main(m))
}

// TestHosts proves on one lab, in order, what other tests build upon.
func TestHosts(t *testing.T) {
	t.Parallel()
	dir := Dir("")
	l, err := Up(t.Context(), Options{Log: t.Output(), Hosts: []HostOptions{
		{Engine: "bookworm"}, {Engine: "trixie", ContainerdStore: true}, {Engine: "bookworm", Disk: "120M"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		wantNothingLeft(t, dir, l.ID)
	})
	image := testImage(t)
	for _, h := range l.Hosts[:2] {
		runServer(t, l, h, image)
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, *Lab)
	}{
		{"users", testUsers}, {"stores", testStores}, {"exec", testExec}, {"authorize", testAuthorize}, {"counters", testCounters},
		{"limit", testLimit}, {"cut", testCut}, {"freeze", testFreeze}, {"restart dockerd", testRestartDocker},
		{"power loss", testKill}, {"halt", testStop}, {"disk full", testDiskFull}, {"claims", testClaims},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, l) })
	}
}

// sshTo runs a script on a host through its sshd, as the tools of users do.
func sshTo(t *testing.T, l *Lab, dest, script string, stdin io.Reader) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ssh", "-F", l.SSHConfig(), dest, script)
	cmd.Stdin = stdin
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func mustSSH(t *testing.T, l *Lab, dest, script string, stdin io.Reader) string {
	t.Helper()
	out, err := sshTo(t, l, dest, script, stdin)
	if err != nil {
		t.Fatalf("%s: %s: %v: %s", dest, script, err, out)
	}
	return out
}

// ok fails the test on an error.
func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// runServer loads the image through ssh and leaves a container of it running, published on port 8080.
func runServer(t *testing.T, l *Lab, h *Host, image []byte) {
	t.Helper()
	mustSSH(t, l, h.Name, "docker load -q", bytes.NewReader(image))
	mustSSH(t, l, h.Name, "docker run -d --pull never --name server --restart always -p 8080:80 "+imageTag, nil)
	wantServing(t, h)
}

func get(ctx context.Context, h *Host, limit time.Duration) error {
	client := &http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s:8080/", h.Addr), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "alive\n" {
		return fmt.Errorf("answer %q: %w", b, err)
	}
	return nil
}

// wantServing gives a container that was just started 15 seconds to answer.
func wantServing(t *testing.T, h *Host) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	var last error
	if until(ctx, func() bool { last = get(ctx, h, time.Second); return last == nil }) != nil {
		t.Fatalf("%s does not serve: %v", h.Name, last)
	}
}

func wantSilence(t *testing.T, h *Host) {
	t.Helper()
	var timeout net.Error
	if err := get(t.Context(), h, 700*time.Millisecond); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%s answered %v, want silence", h.Name, err)
	}
}

func testUsers(t *testing.T, l *Lab) {
	for _, h := range []string{"h1", "h2"} {
		for user, script := range map[string]string{
			"root":    "test $(id -u) = 0 && docker ps",
			"deploy":  "test $(id -u) = 1500 && docker ps && ! sudo -n true",
			"sudoer":  "test $(id -u) = 1501 && ! docker ps && sudo -n docker ps",
			"nobody2": "test $(id -u) = 1502 && ! docker ps && ! sudo -n true",
		} {
			mustSSH(t, l, user+"@"+h, script, nil)
		}
	}
}

func testStores(t *testing.T, l *Lab) {
	for h, want := range map[string]string{"h1": "20.10", "h2": "26.1"} {
		if got := mustSSH(t, l, h, "docker version -f '{{.Server.Version}}'", nil); !strings.HasPrefix(got, want) {
			t.Errorf("%s: docker %s, want %s", h, got, want)
		}
	}
	for h, want := range map[string]bool{"h1": false, "h2": true} {
		got := mustSSH(t, l, h, "docker info -f '{{.DriverStatus}}'", nil)
		if strings.Contains(got, "io.containerd.snapshotter.v1") != want {
			t.Errorf("%s: driver status %s, want containerd %t", h, got, want)
		}
	}
}

func testExec(t *testing.T, l *Lab) {
	h := l.Host("h1")
	if out, err := h.Exec(t.Context(), "hostname; id -un; pwd"); err != nil || out != "h1\nroot\n/root\n" {
		t.Errorf("exec: %q, %v", out, err)
	}
	var exit *exec.ExitError
	if _, err := h.Exec(t.Context(), "echo no >&2; exit 7"); !errors.As(err, &exit) || exit.ExitCode() != 7 || !strings.Contains(err.Error(), "no") {
		t.Errorf("exit 7: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := h.Exec(ctx, "sleep 4321; true"); err == nil {
		t.Error("a cancelled command ended well")
	}
	if out, err := h.Exec(t.Context(), "pgrep -x sleep"); err == nil {
		t.Errorf("a cancelled command still runs: %s", out)
	}
}

func testAuthorize(t *testing.T, l *Lab) {
	h := l.Host("h1")
	if _, err := h.Exec(t.Context(), "ssh -o BatchMode=yes -o StrictHostKeyChecking=no h2 true"); err == nil {
		t.Error("h1 has a key for h2 that nobody gave it")
	}
	ok(t, h.Authorize(t.Context()))
	if out, err := h.Exec(t.Context(), "ssh deploy@h2 hostname"); err != nil || out != "h2\n" {
		t.Errorf("h1 to h2: %q, %v", out, err)
	}
}

func testDiskFull(t *testing.T, l *Lab) {
	h := l.Host("h3")
	_, err := h.Exec(t.Context(), "head -c 500M /dev/zero >/var/lib/docker/fill")
	if err == nil || !strings.Contains(err.Error(), "No space left") {
		t.Errorf("500 MB on a disk of 120: %v", err)
	}
	if _, err := h.Exec(t.Context(), "head -c 1M /dev/zero >/root/full"); err == nil { // the whole host shares the disk
		t.Error("a host with a full disk wrote a file")
	}
	_, err = h.Exec(t.Context(), "rm /var/lib/docker/fill; head -c 1M /dev/zero >/root/full")
	ok(t, err)
}

// testClaims sees to it that a second lab cannot take what the first has.
func testClaims(t *testing.T, l *Lab) {
	for name, o := range map[string]Options{
		"subnet": {Subnet: l.Subnet.String(), Hosts: []HostOptions{{}}},
		"id":     {ID: l.ID, Hosts: []HostOptions{{}}},
	} {
		if other, err := Up(t.Context(), o); err == nil {
			t.Errorf("a second lab has the %s of the first", name)
			ok(t, other.Close())
		}
	}
	ok(t, get(t.Context(), l.Host("h1"), 5*time.Second))
}
