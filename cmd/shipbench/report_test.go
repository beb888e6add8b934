//go:build linux

package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"ship/internal/shiptest/lab"
	"ship/internal/shiptest/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }

func TestReport(t *testing.T) {
	var r report
	slow, fast := condition{100 * lab.Mbit, 3, "a"}, condition{0, 1, "a"}
	r.add(slow, 0, measurement{1e6, 2, 1})
	r.add(slow, 1, measurement{2e6, 1, 1})
	r.add(slow, 2, measurement{10e6, 20, 1})
	r.add(slow, 3, measurement{5e6, 30, 1})
	r.add(fast, 0, measurement{1e6, 2, 1})
	r.pushes = []string{"a 7.0 s"}
	var b bytes.Buffer
	r.print(&b)
	for _, want := range []string{
		"| 100 Mbit/s | 3 | a | 1.00 / 2.0 / 1.0 | 2.00 / 1.0 / 1.0 | 10.00 / 20.0 / 1.0 | 5.00 / 30.0 / 1.0 | 5.00, 20.00 |\n",
		"| unlimited | 1 | a | 1.00 / 2.0 / 1.0 | failed | failed | failed |  |\n",
		"a 7.0 s",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Index(b.String(), "unlimited") > strings.Index(b.String(), "100 Mbit/s") {
		t.Error("not in order")
	}
}

// TestAtOnce holds the contenders to failing when one of their hosts fails.
func TestAtOnce(t *testing.T) {
	for _, c := range []struct {
		hosts []string
		want  int
	}{{[]string{"0"}, 0}, {[]string{"0", "0"}, 0}, {[]string{"0", "1", "0"}, 1}} {
		cmd := exec.Command("bash", "-c", atOnce(c.hosts, "(exit $h) | true"))
		if err := cmd.Run(); (err != nil) != (c.want == 1) || cmd.ProcessState.ExitCode() != c.want {
			t.Errorf("%v: %v", c.hosts, err)
		}
	}
}

func TestRegistry(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- serveRegistry(ctx, l, t.TempDir()) }()
	resp, err := http.Get("http://" + l.Addr().String() + "/v2/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("no registry: %s", resp.Status)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
