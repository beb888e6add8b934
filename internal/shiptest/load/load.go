// Package load sends HTTP requests to a service without pause and accounts for every one that failed.
//
// It has a client of its own, because net/http's repeats a request that a closed connection lost, and so hides what a
// cutover broke. A request counts as failed as soon as its first byte may have been sent and its answer was not whole.
package load

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is a way of asking.
type Kind string

// The kinds of requests.
const (
	KeepAlive Kind = "keep-alive" // GET on a connection that lasts
	Fresh     Kind = "fresh"      // GET on a connection of its own
	Post      Kind = "post"       // POST with a body, on a connection that lasts
	Slow      Kind = "slow"       // GET of something that takes long
	Socket    Kind = "websocket"  // a message and its echo, on a WebSocket that lasts
	HTTP2     Kind = "http2"      // GET by HTTP/2 over TLS, all of a server on one connection
)

// Options say what to send where. Zero values mean the defaults.
type Options struct {
	URLs        []string      // of the servers: http://10.77.0.11; every one gets its own workers. With https only those of HTTP2
	Host        string        // the Host header; default: that of the URL
	From        netip.Addr    // the address to call from; default: the system's choice
	Path        string        // of the GET requests; default "/"
	PostPath    string        // of the POST requests; default: none are sent
	SlowPath    string        // of the slow requests; default: none are sent
	SocketPath  string        // of the WebSockets; default: there are none
	Body        int           // size of a POST's body in bytes; default 64 KiB
	Workers     int           // of each kind for each URL; default 1
	Pause       time.Duration // of a worker between two requests; default 10 ms
	Timeout     time.Duration // of a request; default 30 s
	MaxRequests int           // then it ends by itself; default 1,000,000
	MaxTime     time.Duration // then it ends by itself; default 10 minutes
	Versions    []string      // the order in which versions may follow each other on a server; default: not checked
}

// Generator is load that runs.
type Generator struct {
	o       Options
	cancel  context.CancelFunc
	workers sync.WaitGroup
	left    atomic.Int64 // requests
	record  *record
}

// Start begins. The caller must call [Generator.Stop].
func Start(ctx context.Context, o Options) (*Generator, error) {
	o.Path, o.Body, o.Workers = cmp.Or(o.Path, "/"), cmp.Or(o.Body, 64<<10), cmp.Or(o.Workers, 1)
	o.Pause, o.Timeout = cmp.Or(o.Pause, 10*time.Millisecond), cmp.Or(o.Timeout, 30*time.Second)
	o.MaxRequests, o.MaxTime = cmp.Or(o.MaxRequests, 1_000_000), cmp.Or(o.MaxTime, 10*time.Minute)
	var targets []*target
	for _, s := range o.URLs {
		u, err := url.Parse(s)
		port := map[string]string{"http": ":80", "https": ":443"}[s[:max(0, strings.IndexByte(s, ':'))]]
		if err != nil || port == "" || u.Host == "" {
			return nil, fmt.Errorf("load: %q: want http://HOST or https://HOST", s)
		}
		address := u.Host
		if u.Port() == "" {
			address += port
		}
		targets = append(targets, &target{name: s, address: address, host: cmp.Or(o.Host, u.Host), secure: u.Scheme == "https"})
	}
	g := &Generator{o: o, record: newRecord(o.Versions)}
	g.left.Store(int64(o.MaxRequests))
	ctx, g.cancel = context.WithTimeout(ctx, o.MaxTime)
	kinds := []Kind{KeepAlive, Fresh}
	if o.PostPath != "" {
		kinds = append(kinds, Post)
	}
	if o.SlowPath != "" {
		kinds = append(kinds, Slow)
	}
	if o.SocketPath != "" {
		kinds = append(kinds, Socket)
	}
	for _, t := range targets {
		if t.secure {
			g.startHTTP2(ctx, t)
			continue
		}
		for _, k := range kinds {
			for range o.Workers {
				g.workers.Go(func() { g.work(ctx, t, k, g.asker(t, k)) })
			}
		}
	}
	return g, nil
}

// Stop ends it: no new request begins, those in flight get their answers. A second Stop returns the same report.
func (g *Generator) Stop() Report {
	g.cancel()
	g.workers.Wait()
	return g.record.report()
}

// Wait returns when the bounds are reached or the context ended.
func (g *Generator) Wait() Report {
	g.workers.Wait()
	return g.Stop()
}

// Total is how many requests were answered or failed by now.
func (g *Generator) Total() int { return g.record.total() }

// asker asks one server, one request at a time.
type asker interface {
	ask(ctx context.Context) (answer, error)
	close()
}

func (g *Generator) asker(t *target, k Kind) asker {
	c := &client{target: t, dialer: net.Dialer{Timeout: g.o.Timeout}, timeout: g.o.Timeout}
	if g.o.From.IsValid() {
		c.dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(g.o.From, 0))
	}
	switch k {
	case Post:
		return &asking{client: c, path: g.o.PostPath, method: http.MethodPost, body: g.o.Body}
	case Slow:
		return &asking{client: c, path: g.o.SlowPath, method: http.MethodGet}
	case Socket:
		return &socket{client: c, path: g.o.SocketPath, ended: g.record.socketEnded}
	}
	return &asking{client: c, path: g.o.Path, method: http.MethodGet, fresh: k == Fresh}
}

// work sends requests of a kind to a server, one after another.
func (g *Generator) work(ctx context.Context, t *target, k Kind, by asker) {
	defer by.close()
	inFlight := context.WithoutCancel(ctx) // what is on its way when the load ends gets its answer
	for ctx.Err() == nil && g.left.Add(-1) >= 0 {
		begin := time.Now()
		a, err := by.ask(inFlight)
		g.record.add(t.name, k, begin, time.Now(), a, err)
		select {
		case <-ctx.Done():
		case <-time.After(g.o.Pause):
		}
	}
}
