package proxy

import (
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
}

// Limits of clients. There is none on the length of an answer: downloads and streams take their time.
const (
	headerTimeout = 15 * time.Second
	idleClient    = 75 * time.Second
	quitTimeout   = 25 * time.Second // for requests in flight when the proxy itself ends
	flushEvery    = time.Second
)

// Run serves until ctx ends; then it takes no new connection, lets the requests in flight end, and returns.
func Run(ctx context.Context, o Options) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	st, err := openStore(o.StateDir)
	if err != nil {
		return err
	}
	g := &gate{log: o.Log, access: newAccessLog(o.AccessLog)}
	g.routes.Store(&routes{})
	life, stop := context.WithCancel(context.WithoutCancel(ctx)) // health checks go on while requests do
	defer stop()
	m := &manager{gate: g, store: st, checker: newChecker(), log: o.Log, version: o.Version, life: life, services: map[string]*service{}}
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
	err = serve(ctx, g, public, private, control{m}.handler())
	stop()
	m.wg.Wait()
	g.access.flush()
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

func serve(ctx context.Context, g *gate, public, private net.Listener, handler http.Handler) error {
	quiet := log.New(io.Discard, "", 0) // what clients do wrong is not worth a line each
	gateServer := &http.Server{Handler: g, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleClient, MaxHeaderBytes: maxHeaderBytes, ErrorLog: quiet}
	controlServer := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout, ErrorLog: quiet}
	failed := make(chan error, 2)
	var wg sync.WaitGroup
	wg.Go(func() { failed <- gateServer.Serve(public) })
	wg.Go(func() { failed <- controlServer.Serve(private) })
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	var err error
	for waiting := true; waiting; {
		select {
		case <-tick.C:
			g.access.flush()
		case <-ctx.Done():
			waiting = false
		case err = <-failed:
			err = fmt.Errorf("serve: %w", err)
			waiting = false
		}
	}
	quit, stop := context.WithTimeout(context.WithoutCancel(ctx), quitTimeout)
	defer stop()
	_ = controlServer.Close()
	if e := gateServer.Shutdown(quit); e != nil {
		_ = gateServer.Close()
	}
	wg.Wait()
	return err
}
