package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Options say how a proxy runs.
type Options struct {
	HTTPAddr  string    // ":80"
	HTTPSAddr string    // ":443"; it listens there once a service asks for TLS; "" = none can
	Socket    string    // path of the control socket, the same for a proxy and its successor; made with mode 0600
	Spare     string    // another path for it, for when Socket's disk is full; "" = none
	StateDir  string    // made with mode 0700; who starts with the folder of a proxy that runs takes over from it
	Instance  string    // a name for this process; "" = any
	Master    *os.File  // the file [WorkerFile] of a process that [Guard] has started; nil = it is on its own
	AccessLog io.Writer // a line of JSON for each request; nil = none
	Log       *slog.Logger
	Version   string

	LogSkip     float64 // share of the requests that AccessLog leaves out, 0 to 1; those that failed never are
	MetricsAddr string  // "127.0.0.1:9090", where /metrics can be read; "" = nowhere

	// Zero values mean the defaults. There is no limit on the length of an answer: downloads and streams take their time.
	HeaderTimeout time.Duration // for a client to send the head of a request; default 15 s
	IdleTimeout   time.Duration // of a client's connection between two requests; default 75 s
	Hold          time.Duration // requests wait so long for a target that refuses connections; default 5 s
	QuitTimeout   time.Duration // for requests in flight when the proxy itself ends; default 25 s
	RenewEvery    time.Duration // how often it looks which certificates are due; default 15 s
	RestTimeout   time.Duration // for requests in flight when a successor has taken over; default 10 min
}

func (o Options) withDefaults() Options {
	o.HeaderTimeout, o.IdleTimeout = cmp.Or(o.HeaderTimeout, 15*time.Second), cmp.Or(o.IdleTimeout, 75*time.Second)
	o.Hold, o.QuitTimeout = cmp.Or(o.Hold, 5*time.Second), cmp.Or(o.QuitTimeout, 25*time.Second)
	o.RestTimeout = cmp.Or(o.RestTimeout, 10*time.Minute)
	o.RenewEvery = cmp.Or(o.RenewEvery, renewEvery)
	o.Instance = cmp.Or(o.Instance, newRequestID())
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	return o
}

// listenerHTTP is the name under which the socket for requests changes hands.
const listenerHTTP = "http"

// server is a proxy that runs.
type server struct {
	o     Options
	m     *manager
	store store
	lock  *stateLock // nil: the folder cannot be locked

	public    net.Listener
	publicTLS net.Listener // for https; nil = none yet. Changed under the manager's lock only
	gate      *http.Server
	conns     atomic.Int64 // of clients, upgraded ones left out
	leaving   atomic.Bool  // a successor has taken over
	conceal   func()       // ends the metrics

	private  net.Listener
	control  *http.Server
	commands http.Handler
	calls    sync.WaitGroup // that are being answered
	asking   atomic.Int64   // the same
	keeper   *keeper
	offer    *offering // nil: no successor can come
	rest     *rest     // after a hand-over

	serving sync.WaitGroup
	failed  chan error
}

// Run serves until ctx ends; then it takes no new connection, lets the requests in flight end, and returns. If another
// proxy runs with the same state, Run takes over from it: its sockets, then its state. That one returns when the
// requests that are left to it have ended. Nobody is refused a connection meanwhile.
func Run(ctx context.Context, o Options) error {
	o = o.withDefaults()
	st, err := openStore(o.StateDir)
	if err != nil {
		return err
	}
	g := newGate(newAccessLog(o.AccessLog, o.LogSkip))
	life, stop := context.WithCancel(context.WithoutCancel(ctx)) // health checks go on while requests do
	m := &manager{gate: g, store: st, checker: newChecker(), log: o.Log, version: o.Version, instance: o.Instance, life: life, hold: o.Hold, renewEvery: o.RenewEvery, ttl: prepareTTL, services: map[string]*service{}, enrolled: map[string]*enrolled{}}
	g.secure.certs.Store(&certificates{})
	s := &server{o: o, m: m, store: st, commands: control{m}.handler(), failed: make(chan error, 8)}
	m.openTLS = s.openTLS
	defer m.wg.Wait()
	defer stop()
	ctx, free, err := s.begin(ctx)
	defer free()
	if err != nil {
		s.giveUp()
		return err
	}
	o.Log.Info("ready", "address", s.public.Addr().String(), "version", o.Version, "services", len(m.services))
	s.conceal = s.exposeMetrics(ctx)
	defer s.conceal()
	m.wg.Go(func() { m.renew(life) })
	quit, logged := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(logged)
		g.access.run(quit)
	}()
	err = s.serve(ctx)
	s.lock.release()
	close(quit)
	select {
	case <-logged:
	case <-time.After(flushEvery): // a reader that hangs must not keep the process
	}
	return err
}

// begin makes all ready to serve, and relieves the predecessor if there is one. The context ends with the master too.
func (s *server) begin(outer context.Context) (ctx context.Context, free func(), err error) {
	keep, held, err := findKeeper(s.o.Master)
	if err != nil {
		return outer, func() {}, err
	}
	defer closeListeners(held)
	s.keeper = keep
	ctx, stop := keep.with(outer)
	free = func() { stop(); keep.close() }
	before, mute := findPredecessor(ctx, s.o.StateDir, s.o.Instance)
	defer before.close()
	if err := s.takeState(ctx, before); err != nil {
		return ctx, free, errors.Join(err, mute)
	}
	if err := s.listen(held, before); err != nil {
		return ctx, free, errors.Join(err, mute)
	}
	return ctx, free, before.relieve()
}

// listen has each socket from the predecessor, else from the master, else makes it.
func (s *server) listen(held map[handedListener]net.Listener, before *predecessor) (err error) {
	key := handedListener{listenerHTTP, s.o.HTTPAddr}
	s.public = before.take(key)
	if s.public == nil && held[key] != nil {
		s.public = held[key]
		delete(held, key)
	}
	if s.public == nil {
		if s.public, err = net.Listen("tcp", s.o.HTTPAddr); err != nil {
			return fmt.Errorf("listen for requests: %w", err)
		}
	}
	s.listenTLS(held, before)
	if err := s.keep(); err != nil {
		return err
	}
	s.gate = &http.Server{Handler: http.HandlerFunc(s.answer), ReadHeaderTimeout: s.o.HeaderTimeout, IdleTimeout: s.o.IdleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: quiet(), ConnState: s.count, HTTP2: http2Config()}
	s.control = &http.Server{Handler: http.HandlerFunc(s.command), ReadHeaderTimeout: s.o.HeaderTimeout, ErrorLog: quiet()}
	if s.private, err = s.openControl(); err != nil {
		return err
	}
	path := handoverSocket(s.o.StateDir)
	l, err := listenUnix(path)
	if err != nil { // traffic matters more
		s.o.Log.Warn("no successor can take over from this proxy", "error", err)
		return nil
	}
	s.offer = &offering{s, path, l}
	return nil
}

// sockets are what is handed over, and what the master holds.
func (s *server) sockets() ([]handedListener, []syscall.Conn) {
	names, sockets := []handedListener{{listenerHTTP, s.o.HTTPAddr}}, []syscall.Conn{conn(s.public)}
	if s.publicTLS != nil {
		names, sockets = append(names, handedListener{listenerHTTPS, s.o.HTTPSAddr}), append(sockets, conn(s.publicTLS))
	}
	return names, sockets
}

// keep has the master hold the sockets.
func (s *server) keep() error {
	names, sockets := s.sockets()
	return s.keeper.keep(names, sockets...)
}

// takeState takes the right to write the state, and reads it.
func (s *server) takeState(ctx context.Context, before *predecessor) error {
	wait, stop := context.WithTimeout(ctx, offerPatience)
	defer stop()
	lock, err := s.store.lock(wait)
	switch {
	case errors.Is(err, errLocked):
		return err
	case err != nil: // on a full disk, perhaps; traffic matters more
		s.o.Log.Warn("nothing keeps another proxy from writing the same state", "error", err)
	}
	s.lock = lock
	if err := s.m.restore(); err != nil {
		return err
	}
	if before != nil {
		s.m.adopt(before.prepared)
	}
	return nil
}

// openControl takes over the socket that a predecessor has, or has left.
func (s *server) openControl() (net.Listener, error) {
	l, err := listenUnix(s.o.Socket)
	if err != nil && s.o.Spare != "" {
		s.o.Log.Warn("the control socket is in its spare place", "error", err)
		l, err = listenUnix(s.o.Spare)
	}
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}

// reopenControl takes the control socket back from a successor that failed.
func (s *server) reopenControl() error {
	l, err := s.openControl()
	if err != nil {
		return err
	}
	_ = s.private.Close() // nobody can find it any more
	s.private = l
	s.serving.Go(func() { s.failed <- s.control.Serve(l) })
	return nil
}

func (s *server) serve(ctx context.Context) error {
	s.serving.Go(func() { s.failed <- s.gate.Serve(s.public) })
	s.startTLS()
	private := s.private
	s.serving.Go(func() { s.failed <- s.control.Serve(private) })
	offering, stop := context.WithCancel(ctx)
	defer stop()
	handed := make(chan struct{})
	if s.offer != nil {
		s.serving.Go(func() {
			if s.offer.wait(offering) {
				close(handed)
			}
		})
	}
	err := s.until(ctx, handed)
	stop()
	_ = s.control.Close() // ends the calls' contexts; a commit that is being written is waited for
	s.calls.Wait()
	s.m.shutdown(ctx, s.gate, s.patience(ctx))
	s.serving.Wait()
	s.rest.close()
	if next := s.m.successor.Load(); next != nil {
		next.Close()
	}
	if s.offer != nil {
		_ = s.offer.l.Close()
	}
	return err
}

// answer serves clients.
func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	if s.leaving.Load() && r.Header.Get("Upgrade") == "" {
		w.Header().Set("Connection", "close") // the next request is the successor's
	}
	s.m.gate.ServeHTTP(w, r)
}

func (s *server) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateHijacked, http.StateClosed:
		s.conns.Add(-1)
	}
}

// command serves the control socket.
func (s *server) command(w http.ResponseWriter, r *http.Request) {
	s.calls.Add(1)
	s.asking.Add(1)
	defer s.calls.Done()
	defer s.asking.Add(-1)
	s.commands.ServeHTTP(w, r)
}
