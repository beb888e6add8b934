package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Of the server for metrics. It asks for its address again and again: a predecessor may have it still.
const (
	metricsPause   = 100 * time.Millisecond
	metricsPatient = 30 * time.Second // until it is said that the address cannot be had
	metricsTimeout = 10 * time.Second // for a request and its answer
)

// exposeMetrics serves the metrics until ctx ends or the returned function is called, which waits. It is not among the sockets
// that are handed over: a scrape that is lost is made again, and traffic must not depend on this address.
func (s *server) exposeMetrics(ctx context.Context) (stop func()) {
	if s.o.MetricsAddr == "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var serving sync.WaitGroup
	serving.Go(func() {
		l := s.listenForMetrics(ctx)
		if l == nil {
			return
		}
		srv := &http.Server{Handler: s.metricsPage(time.Now()), ReadTimeout: metricsTimeout, WriteTimeout: metricsTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: quiet()}
		closing := context.AfterFunc(ctx, func() { _ = srv.Close() })
		defer closing()
		_ = srv.Serve(l) // it ends with ctx
	})
	return func() {
		cancel()
		serving.Wait()
	}
}

// listenForMetrics returns nil when ctx ends.
func (s *server) listenForMetrics(ctx context.Context) net.Listener {
	var c net.ListenConfig
	said := false
	for begin := time.Now(); ; {
		l, err := c.Listen(ctx, "tcp", s.o.MetricsAddr)
		if err == nil {
			return l
		}
		if !said && time.Since(begin) > metricsPatient && ctx.Err() == nil {
			said = true
			s.o.Log.Warn("metrics cannot be read, it is tried on", "address", s.o.MetricsAddr, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(metricsPause):
		}
	}
}

func (s *server) metricsPage(started time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = io.WriteString(w, s.m.expose(started, s.keeper.restarts())) // the client may be gone
	})
	return mux
}
