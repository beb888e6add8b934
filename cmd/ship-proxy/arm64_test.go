//go:build linux

package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ship/proxy"
)

// TestArm64 runs the proxy for arm64 by an emulator, under a master as in its container, and sends a request through it.
func TestArm64(t *testing.T) {
	c, port := startArm64(t)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello from v1") }))
	defer app.Close()
	target := proxy.Target{ID: "app-1", Address: strings.TrimPrefix(app.URL, "http://")}
	token, err := c.Prepare(t.Context(), proxy.PrepareRequest{Service: proxy.Service{Name: "shop"}, Target: target, Generation: 1, Timeout: 20 * time.Second}, nil)
	if err == nil {
		_, err = c.Commit(t.Context(), "shop", token, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://127.0.0.1:" + port + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || string(b) != "hello from v1" {
		t.Errorf("%d %q, %v", resp.StatusCode, b, err)
	}
}

// startArm64 starts the proxy, and returns a client of its control socket and its port for http.
func startArm64(t *testing.T) (c *proxy.Client, port string) {
	t.Helper()
	dir := t.TempDir()
	program, socket := buildArm64(t, dir), filepath.Join(dir, "s")
	ready := started{make(chan string, 1)}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- proxy.Guard(ctx, func() *exec.Cmd {
			cmd := exec.Command(qemu, program, "proxy", "work", "-http-port", "0", "-https-port", "0", "-socket", socket, "-state", filepath.Join(dir, "state"))
			cmd.Stderr = ready
			return cmd
		}, slog.New(slog.DiscardHandler))
		close(ended)
	}()
	t.Cleanup(func() {
		stop()
		for range ended { // until it is closed
		}
	})
	select {
	case addr := <-ready.addr:
		var err error
		if _, port, err = net.SplitHostPort(addr); err != nil {
			t.Fatal(err)
		}
	case err := <-ended:
		t.Fatalf("it ended: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("it does not come up")
	}
	c = proxy.NewClient(func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	})
	t.Cleanup(c.Close)
	return c, port
}

const qemu = "qemu-aarch64-static" // hack/setup installs it

func buildArm64(t *testing.T, dir string) string {
	t.Helper()
	program := filepath.Join(dir, "proxy")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", program, "ship/cmd/ship-proxy")
	cmd.Env = append(os.Environ(), "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// started takes the address from the proxy's log.
type started struct{ addr chan string }

func (s started) Write(p []byte) (int, error) {
	var line struct{ Msg, Address string }
	if json.Unmarshal(p, &line) == nil && line.Msg == "ready" {
		select {
		case s.addr <- line.Address:
		default: // a worker that was started again
		}
	}
	return len(p), nil
}
