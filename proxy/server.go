package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// Options say how a proxy runs.
type Options struct {
	HTTPAddr  string    // ":80"
	Socket    string    // path of the control socket; made with mode 0600
	StateDir  string    // made with mode 0700
	AccessLog io.Writer // a line of JSON for each request; nil = none
	Log       *slog.Logger
	Version   string

	// Zero values mean the defaults. There is no limit on the length of an answer: downloads and streams take their time.
	HeaderTimeout time.Duration // for a client to send the head of a request; default 15 s
	IdleTimeout   time.Duration // of a client's connection between two requests; default 75 s
	Hold          time.Duration // requests wait so long for a target that refuses connections; default 5 s
	QuitTimeout   time.Duration // for requests in flight when the proxy itself ends; default 25 s
}

func (o Options) withDefaults() Options {
	o.HeaderTimeout, o.IdleTimeout = cmp.Or(o.HeaderTimeout, 15*time.Second), cmp.Or(o.IdleTimeout, 75*time.Second)
	o.Hold, o.QuitTimeout = cmp.Or(o.Hold, 5*time.Second), cmp.Or(o.QuitTimeout, 25*time.Second)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	return o
}

// Run serves until ctx ends; then it takes no new connection, lets the requests in flight end, and returns.
func Run(ctx context.Context, o Options) error {
	o = o.withDefaults()
	st, err := openStore(o.StateDir)
	if err != nil {
		return err
	}
	g := newGate(newAccessLog(o.AccessLog))
	life, stop := context.WithCancel(context.WithoutCancel(ctx)) // health checks go on while requests do
	m := &manager{gate: g, store: st, checker: newChecker(), log: o.Log, version: o.Version, life: life, hold: o.Hold, ttl: prepareTTL, services: map[string]*service{}}
	defer m.wg.Wait()
	defer stop()
	if err := m.restore(); err != nil {
		return err
	}
	public, err := net.Listen("tcp", o.HTTPAddr)
	if err != nil {
		return fmt.Errorf("listen for requests: %w", err)
	}
	private, err := listenControl(o.Socket)
	if err != nil {
		return errors.Join(err, public.Close())
	}
	o.Log.Info("ready", "address", public.Addr().String(), "version", o.Version, "services", len(m.services))
	quit, logged := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(logged)
		g.access.run(quit)
	}()
	err = m.serve(ctx, o, public, private)
	close(quit)
	select {
	case <-logged:
	case <-time.After(flushEvery): // a reader that hangs must not keep the process
	}
	return err
}

// listenControl takes over a socket that a killed predecessor left.
func listenControl(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), l.Close())
	}
	return l, nil
}

func (m *manager) serve(ctx context.Context, o Options, public, private net.Listener) error {
	quiet := log.New(io.Discard, "", 0) // what clients do wrong is not worth a line each
	var calls sync.WaitGroup
	gate := &http.Server{Handler: m.gate, ReadHeaderTimeout: o.HeaderTimeout, IdleTimeout: o.IdleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: quiet}
	control := &http.Server{Handler: counted(&calls, control{m}.handler()), ReadHeaderTimeout: o.HeaderTimeout, ErrorLog: quiet}
	failed := make(chan error, 2)
	var wg sync.WaitGroup
	wg.Go(func() { failed <- gate.Serve(public) })
	wg.Go(func() { failed <- control.Serve(private) })
	var err error
	select {
	case <-ctx.Done():
	case e := <-failed:
		err = fmt.Errorf("serve: %w", e)
	}
	_ = control.Close() // ends the calls' contexts; a commit that is being written is waited for
	calls.Wait()
	m.shutdown(ctx, gate, o.QuitTimeout)
	wg.Wait()
	return err
}

// shutdown lets requests end by themselves first, then ends them as a drain would, and then by force. Upgraded
// connections never end by themselves: they go as soon as all else has.
func (m *manager) shutdown(ctx context.Context, gate *http.Server, patience time.Duration) {
	ctx = context.WithoutCancel(ctx) // it has ended: that is why we are here
	quit, stop := context.WithTimeout(ctx, patience)
	defer stop()
	_ = gate.Shutdown(quit) // what is left is ended below
	m.cutAll()
	for end := time.Now().Add(2 * closeTimeout); m.gate.requests.Load() > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	_ = gate.Close()
}

// counted lets wg know of each call that is being answered.
func counted(wg *sync.WaitGroup, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wg.Add(1)
		defer wg.Done()
		h.ServeHTTP(w, r)
	})
}
