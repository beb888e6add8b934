package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// rest is the control of a proxy that has handed over, while requests are still with it. Its successors see to it that
// these follow every switch, and are waited for by every drain.
type rest struct {
	server *http.Server
	path   string
	done   sync.WaitGroup
}

const (
	restName     = "rest-" // in the state folder, then the instance
	restPatience = time.Second
)

func (s *server) listenRest() (*rest, error) {
	path := filepath.Join(s.o.StateDir, restName+s.o.Instance+".sock")
	l, err := listenUnix(path)
	if err != nil {
		return nil, err
	}
	m, mux := s.m, http.NewServeMux()
	c := control{m}
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, m.status(), nil) })
	c.on(mux, "reload", func(_ context.Context, a call) (any, error) { return struct{}{}, m.reload(a.Service) })
	c.on(mux, "drain", func(ctx context.Context, a call) (any, error) {
		return m.drain(ctx, a.Service, a.Target, min(max(a.Timeout, 0), time.Hour))
	})
	r := &rest{path: path, server: &http.Server{Handler: mux, ReadHeaderTimeout: s.o.HeaderTimeout, ErrorLog: quiet()}}
	r.done.Go(func() { _ = r.server.Serve(l) }) // ends by close
	return r, nil
}

func (r *rest) close() {
	if r == nil {
		return
	}
	_ = os.Remove(r.path)
	_ = r.server.Close()
	r.done.Wait()
}

// reload makes a service what its file says, after a successor has changed it.
func (m *manager) reload(name string) error {
	if err := checkName(name); err != nil {
		return &refusedError{err}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r, err := m.store.read(name, "")
	if err != nil {
		return &refusedError{err}
	}
	s := m.get(name)
	if r.Active != nil && s.live != nil && s.live.serves(*r.Active) && s.record.Generation == r.Generation && s.record.Undone == r.Undone {
		s.record.Halt = r.Halt
		s.valve.set(r.Halt)
		return nil // or the requests in flight would be told to leave the target that they are with
	}
	m.activate(s, r, nil)
	return nil
}

// rests lets do speak to each proxy that has handed over and is still there, all at once, and joins the errors.
func (m *manager) rests(ctx context.Context, do func(context.Context, *Client) error) error {
	paths, err := filepath.Glob(filepath.Join(m.store.dir, restName+"*.sock"))
	if err != nil || len(paths) == 0 {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, len(paths))
	for i, path := range paths {
		wg.Go(func() {
			c := unixClient(path)
			defer c.Close()
			errs[i] = do(ctx, c)
			switch {
			case errors.Is(errs[i], syscall.ECONNREFUSED): // it died
				_ = os.Remove(path)
				errs[i] = nil
			case errors.Is(errs[i], os.ErrNotExist):
				errs[i] = nil
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// follow makes the rests see a change. One that does not answer has requests that fail sooner or later: the change is
// made all the same.
func (m *manager) follow(ctx context.Context, service string) {
	ctx, stop := context.WithTimeout(ctx, restPatience)
	defer stop()
	err := m.rests(ctx, func(ctx context.Context, c *Client) error { return c.reload(ctx, service) })
	if err != nil {
		m.log.Warn("a proxy that was replaced does not follow a switch", "service", service, "error", err)
	}
}

// drainAll is drain, here and in the rests.
func (m *manager) drainAll(ctx context.Context, name, target string, timeout time.Duration) (Drained, error) {
	var there Drained
	var mu sync.Mutex
	var wg sync.WaitGroup
	wg.Go(func() {
		err := m.rests(ctx, func(ctx context.Context, c *Client) error {
			err := c.reload(ctx, name)
			var d Drained
			if err == nil {
				d, err = c.Drain(ctx, name, target, timeout)
			}
			mu.Lock()
			defer mu.Unlock()
			there.InFlight += d.InFlight
			there.WebSockets += d.WebSockets
			return err
		})
		if err != nil && ctx.Err() == nil {
			m.log.Warn("a proxy that was replaced does not drain", "service", name, "error", err)
		}
	})
	here, err := m.drain(ctx, name, target, timeout)
	wg.Wait()
	return Drained{here.InFlight + there.InFlight, here.WebSockets + there.WebSockets}, err
}

// statusAll is status, and those of the rests.
func (m *manager) statusAll(ctx context.Context) Status {
	st := m.status()
	var mu sync.Mutex
	ctx, stop := context.WithTimeout(ctx, restPatience)
	defer stop()
	_ = m.rests(ctx, func(ctx context.Context, c *Client) error { // what does not answer is not shown
		one, err := c.Status(ctx)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			st.Rests = append(st.Rests, one)
		}
		return err
	})
	return st
}

// unixClient controls the proxy behind a socket here.
func unixClient(path string) *Client {
	return NewClient(func(ctx context.Context) (net.Conn, error) {
		d := net.Dialer{Timeout: restPatience}
		return d.DialContext(ctx, "unix", path)
	})
}
