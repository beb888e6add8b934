//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"ship/internal/shiptest/payload"
	"ship/internal/shiptest/testcert"
	"ship/proxy"
)

const (
	host    = "soak.test"
	service = "soak"
)

// soak is what runs.
type soak struct {
	o           options
	dir, app    string
	http, https string // addresses of the proxy
	client      *proxy.Client
	generation  int64
	live        *release
	proxies     []*exec.Cmd
	leaving     sync.WaitGroup // drains of releases that were replaced

	mu      sync.Mutex
	running []*exec.Cmd
	errs    []error // of the drains
}

// release is one app that runs.
type release struct {
	version  string
	target   proxy.Target
	cmd      *exec.Cmd
	replaced time.Time
}

func newSoak(ctx context.Context, dir string, o options) (_ *soak, err error) {
	s := &soak{o: o, dir: dir}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.app, err = payload.Build(ctx, dir, "amd64"); err != nil {
		return nil, err
	}
	for _, a := range []*string{&s.http, &s.https} {
		if *a, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	s.client = s.newClient()
	if err := s.startProxy(ctx); err != nil {
		return nil, err
	}
	var pair proxy.KeyPair
	if pair.Certificate, pair.PrivateKey, err = testcert.Today(host); err != nil {
		return nil, err
	}
	if _, err := s.client.Certify(ctx, service, pair, 1); err != nil {
		return nil, err
	}
	s.live, err = s.startRelease(ctx, "v0")
	if err != nil {
		return nil, err
	}
	_, err = s.commit(ctx, s.live)
	return s, err
}

func (s *soak) newClient() *proxy.Client {
	return proxy.NewClient(func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", s.path("socket"))
	})
}

func (s *soak) path(name string) string { return filepath.Join(s.dir, name) }

func (s *soak) start(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = append(s.running, cmd)
	return nil
}

// ended waits for a process that was told to end, or ends by itself.
func (s *soak) ended(cmd *exec.Cmd) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = slices.DeleteFunc(s.running, func(c *exec.Cmd) bool { return c == cmd })
	return cmd.Wait()
}

func (s *soak) close() {
	s.leaving.Wait()
	for _, cmd := range slices.Clone(s.running) {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = s.ended(cmd)                        // by that signal
	}
	s.client.Close()
}

// startProxy starts one more proxy, which takes over from the one that runs.
func (s *soak) startProxy(ctx context.Context) error {
	port := func(address string) string { _, p, _ := net.SplitHostPort(address); return p }
	name := fmt.Sprintf("proxy-%d", len(s.proxies))
	cmd := exec.CommandContext(ctx, s.o.proxy, "proxy", "run", "--http-port", port(s.http), "--https-port", port(s.https), "--socket", s.path("socket"), "--state", s.path("state"), "--instance", name)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	log, err := os.Create(s.path(name + ".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stderr = log
	if err := s.start(cmd); err != nil {
		return err
	}
	s.proxies = append(s.proxies, cmd)
	return until(ctx, 10*time.Second, name+" serves", func() error {
		st, err := s.client.Status(ctx)
		if err == nil && st.Instance != name {
			err = fmt.Errorf("%s does", st.Instance)
		}
		return err
	})
}

// startRelease starts an app, and does not wait for it.
func (s *soak) startRelease(ctx context.Context, version string) (*release, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	return s.startApp(ctx, version, address)
}

func (s *soak) startApp(ctx context.Context, version, address string) (*release, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, s.app)
	cmd.Env = []string{"PORT=" + port, "VERSION=" + version, "BOOT_DELAY=100ms"}
	return &release{version: version, target: proxy.Target{ID: version, Address: address, Release: version}, cmd: cmd}, s.start(cmd)
}

// commit switches to a release, with further replicas, and returns how long after its readiness that was done.
func (s *soak) commit(ctx context.Context, r *release, more ...proxy.Target) (time.Duration, error) {
	s.generation++
	ready := make(chan time.Time, 1)
	go func() { ready <- s.ready(ctx, r) }()
	conf := proxy.Service{Name: service, Hosts: []string{host}, TLS: &proxy.TLS{KeepHTTP: true}, Health: proxy.HealthCheck{Interval: proxy.Duration(time.Second)}}
	token, err := s.client.Prepare(ctx, proxy.PrepareRequest{Service: conf, Target: r.target, More: more, Generation: s.generation, Timeout: 20 * time.Second}, nil)
	at := <-ready
	if err != nil {
		return 0, err
	}
	if _, err = s.client.Commit(ctx, service, token, s.generation); err != nil {
		return 0, err
	}
	return time.Since(at), nil
}

// ready is when a release first answered that it is well, looked at every millisecond.
func (s *soak) ready(ctx context.Context, r *release) time.Time {
	t := &http.Transport{}
	defer t.CloseIdleConnections()
	_ = until(ctx, 20*time.Second, r.version+" is ready", func() error { // if it never is, the proxy says so
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.target.Address+"/up", nil)
		if err != nil {
			return err
		}
		resp, err := t.RoundTrip(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	})
	return time.Now()
}

// retire drains a release that was replaced, and ends it, in the background.
func (s *soak) retire(ctx context.Context, r *release) {
	r.replaced = time.Now()
	s.leaving.Go(func() {
		c := s.newClient() // a client has two connections, and this call waits
		defer c.Close()
		_, err := c.Drain(ctx, service, r.target.ID, s.o.grace)
		if err == nil {
			err = r.cmd.Process.Signal(syscall.SIGTERM)
		}
		if err == nil {
			err = s.ended(r.cmd)
		}
		if err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.errs = append(s.errs, fmt.Errorf("drain %s: %w", r.version, err))
		}
	})
}

// until tries every millisecond.
func until(ctx context.Context, patience time.Duration, what string, try func() error) error {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %s: %w", patience, what, err)
		case <-time.After(time.Millisecond):
		}
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
