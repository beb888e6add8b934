//go:build linux

package lab

import (
	"bytes"
	"context"
	"crypto/rand"
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
)

func TestMain(m *testing.M) {
	Init()
	if where := os.Getenv(upInChild); where != "" {
		upAndWait(where)
	}
	os.Exit(m.Run())
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

// noise is n bytes that nothing on the way can shrink.
func noise(n int64) io.Reader { return io.LimitReader(rand.Reader, n) }

func testCounters(t *testing.T, l *Lab) {
	const n = 20_000_000
	ok(t, l.ResetCounters(t.Context()))
	mustSSH(t, l, "h1", "cat >/dev/null", noise(n))
	_, err := l.Host("h1").Exec(t.Context(), "head -c 5000000 /dev/urandom | ssh h2 'cat >/dev/null'")
	ok(t, err)
	for _, link := range []struct {
		from, to string
		low      int64
		high     int64
	}{
		{Controller, "h1", n, n * 103 / 100}, {Controller, "", n, n * 103 / 100}, {Controller, "h2", 0, 0},
		{"h1", "h2", n / 4, n / 4 * 103 / 100}, {"h2", Controller, 0, 0},
	} {
		if got, err := l.Sent(t.Context(), link.from, link.to); err != nil || got < link.low || got > link.high {
			t.Errorf("%s to %q: %d bytes, want %d to %d (%v)", link.from, link.to, got, link.low, link.high, err)
		}
	}
	ok(t, l.ResetCounters(t.Context()))
	if all, err := l.Counters(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("after reset: %v, %v", all, err)
	}
}

// took measures a transfer of 4 MB; at 20 Mbit/s it takes 1.6 seconds.
func took(t *testing.T, move func()) time.Duration {
	t.Helper()
	begin := time.Now()
	move()
	return time.Since(begin)
}

func testLimit(t *testing.T, l *Lab) {
	const n, rate = 4_000_000, 20 * Mbit
	h, ctx := l.Host("h1"), t.Context()
	send := func() { mustSSH(t, l, "h1", "cat >/dev/null", noise(n)) }
	receive := func() { mustSSH(t, l, "h1", fmt.Sprintf("head -c %d /dev/urandom", n), nil) }
	for _, test := range []struct {
		name       string
		limit      func(up, down Rate) error
		up, down   Rate
		move, free func()
	}{
		{"host down", func(u, d Rate) error { return h.Limit(ctx, u, d) }, 0, rate, send, receive},
		{"host up", func(u, d Rate) error { return h.Limit(ctx, u, d) }, rate, 0, receive, send},
		{"controller up", func(u, d Rate) error { return l.Limit(ctx, u, d) }, rate, 0, send, receive},
	} {
		ok(t, test.limit(test.up, test.down))
		if d := took(t, test.move); d < 1500*time.Millisecond || d > 5*time.Second {
			t.Errorf("%s: %d bytes took %v, want about 1.6s", test.name, n, d)
		}
		if d := took(t, test.free); d > 1500*time.Millisecond {
			t.Errorf("%s: the other direction took %v, want no limit", test.name, d)
		}
		ok(t, test.limit(0, 0))
		if d := took(t, test.move); d > 1500*time.Millisecond {
			t.Errorf("%s: took %v after the limit was taken away", test.name, d)
		}
	}
}

func testCut(t *testing.T, l *Lab) {
	h1, h2, ctx := l.Host("h1"), l.Host("h2"), t.Context()
	ok(t, h1.Cut(ctx))
	wantSilence(t, h1)
	if _, err := h1.Exec(ctx, "docker ps | grep -q server"); err != nil {
		t.Errorf("inside: %v", err)
	}
	ok(t, get(ctx, h2, 2*time.Second))
	ok(t, h1.Heal(ctx))
	ok(t, get(ctx, h1, 5*time.Second))

	const ask = "curl -s -m 1 -o /dev/null http://h1:8080/"
	ok(t, h1.Cut(ctx, "h2"))
	if _, err := h2.Exec(ctx, ask); err == nil {
		t.Error("h2 reaches h1 though the pair is cut")
	}
	ok(t, get(ctx, h1, 2*time.Second))
	ok(t, h1.Heal(ctx, "h2"))
	ok(t, h1.Heal(ctx, "h2")) // twice is no error
	if _, err := h2.Exec(ctx, ask); err != nil {
		t.Errorf("healed pair: %v", err)
	}
}

func testFreeze(t *testing.T, l *Lab) {
	h, ctx := l.Host("h2"), t.Context()
	ok(t, h.Freeze(ctx))
	c, err := net.DialTimeout("tcp", fmt.Sprintf("%s:22", h.Addr), 2*time.Second)
	ok(t, err) // the kernel still accepts
	defer c.Close()
	ok(t, c.SetReadDeadline(time.Now().Add(700*time.Millisecond)))
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a frozen host said %d bytes, %v", n, err)
	}
	if _, err := h.Exec(ctx, "true"); !errors.Is(err, ErrFrozen) {
		t.Errorf("exec on a frozen host: %v", err)
	}
	ok(t, h.Thaw(ctx))
	ok(t, get(ctx, h, 5*time.Second))
}

func testRestartDocker(t *testing.T, l *Lab) {
	ok(t, l.Host("h2").RestartDocker(t.Context()))
	wantServing(t, l.Host("h2"))
}

// greeted is a connection to the host's sshd over which its banner came.
func greeted(t *testing.T, h *Host) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", fmt.Sprintf("%s:22", h.Addr), 2*time.Second)
	ok(t, err)
	t.Cleanup(func() { c.Close() })
	ok(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
	if _, err := io.ReadFull(c, make([]byte, len("SSH-2.0-"))); err != nil {
		t.Fatal(err)
	}
	return c
}

func testKill(t *testing.T, l *Lab) {
	for _, h := range l.Hosts[:2] {
		c := greeted(t, h)
		ok(t, h.Kill(t.Context()))
		ok(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		if _, err := io.Copy(io.Discard, c); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the peer of a dead host heard %v, want silence", h.Name, err)
		}
		if _, err := h.Exec(t.Context(), "true"); !errors.Is(err, ErrOff) {
			t.Errorf("exec on a dead host: %v", err)
		}
		ok(t, h.Boot(t.Context()))
		wantServing(t, h) // by its restart policy
	}
}

func testStop(t *testing.T, l *Lab) {
	h := l.Host("h1")
	c := greeted(t, h)
	ok(t, h.Stop(t.Context()))
	ok(t, c.SetReadDeadline(time.Now().Add(time.Second)))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the peer of a halted host hears nothing, want the connection closed")
	}
	if h.State() != "off" {
		t.Errorf("state %s after halt", h.State())
	}
	ok(t, h.Boot(t.Context()))
	wantServing(t, h)
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
	ok(t, get(t.Context(), l.Host("h1"), 2*time.Second))
}
