//go:build linux

package docker

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"ship/internal/shiptest/lab"
)

// engine is a real one, in a host of the lab.
type engine struct {
	*Client
	host    *lab.Host
	version string // its beginning
	api     int    // minor
	store   bool   // containerd image store
}

var (
	engines []engine
	app     []byte // testdata/app, built
)

func TestMain(m *testing.M) {
	lab.Init()
	os.Exit(withEngines(m))
}

func withEngines(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute) // a first run builds engines
	defer cancel()
	var err error
	if app, err = buildApp(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	l, err := lab.Up(ctx, lab.Options{Log: os.Stderr, Hosts: []lab.HostOptions{
		{Engine: "bookworm"}, {Engine: "trixie", ContainerdStore: true}, {Engine: "sid", ContainerdStore: true}, {Engine: "sid"},
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer l.Close()
	engines = []engine{
		{host: l.Hosts[0], version: "20.10.", api: 41},
		{host: l.Hosts[1], version: "26.1.", api: 45, store: true},
		{host: l.Hosts[2], version: "28.", api: 51, store: true},
		{host: l.Hosts[3], version: "28.", api: 51},
	}
	for i := range engines {
		path, err := engines[i].host.DockerSocket()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		engines[i].Client = New(unixDialer(path))
	}
	status := m.Run()
	for _, e := range engines {
		e.Close()
	}
	if left := leaked(); left != "" {
		fmt.Fprintf(os.Stderr, "goroutines left:\n%s\n", left)
		return 1
	}
	return status
}

// leaked returns the stacks of goroutines of this package or of its connections that do not end.
func leaked() string {
	var left string
	for range 100 {
		left = ""
		buf := make([]byte, 1<<20)
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "docker.leaked") {
				continue
			}
			if strings.Contains(g, "ship/internal/docker.(") || strings.Contains(g, "net/http.(*persistConn)") || strings.Contains(g, "net/http.(*http2") {
				left += g + "\n\n"
			}
		}
		if left == "" {
			return ""
		}
		time.Sleep(20 * time.Millisecond)
	}
	return left
}

func buildApp(ctx context.Context) ([]byte, error) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "app")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", file, "./testdata/app")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(file)
}

// each runs test on every engine at once. Names that test gives are its own: prefix them with the test's.
func each(t *testing.T, test func(t *testing.T, e engine)) {
	for _, e := range engines {
		store := "graph"
		if e.store {
			store = "containerd"
		}
		t.Run(e.version+store, func(t *testing.T) {
			t.Parallel()
			test(t, e)
		})
	}
}

// must fails the test at once.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// until polls for at most thirty seconds.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within 30 s: %s", what)
}
