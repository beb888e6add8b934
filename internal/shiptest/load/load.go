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
)

// Options say what to send where. Zero values mean the defaults.
type Options struct {
	URLs        []string      // of the servers: http://10.77.0.11; every one gets its own workers
	Host        string        // the Host header; default: that of the URL
	From        netip.Addr    // the address to call from; default: the system's choice
	Path        string        // of the GET requests; default "/"
	PostPath    string        // of the POST requests; default: none are sent
	SlowPath    string        // of the slow requests; default: none are sent
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
		if err != nil || u.Scheme != "http" || u.Host == "" {
			return nil, fmt.Errorf("load: %q: want http://HOST", s)
		}
		address := u.Host
		if u.Port() == "" {
			address += ":80"
		}
		targets = append(targets, &target{name: s, address: address, host: cmp.Or(o.Host, u.Host)})
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
	for _, t := range targets {
		for _, k := range kinds {
			for range o.Workers {
				g.workers.Go(func() { g.work(ctx, t, k) })
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

// work sends requests of a kind to a server, one after another.
func (g *Generator) work(ctx context.Context, t *target, k Kind) {
	c := &client{target: t, dialer: net.Dialer{Timeout: g.o.Timeout}, timeout: g.o.Timeout}
	if g.o.From.IsValid() {
		c.dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(g.o.From, 0))
	}
	defer c.close()
	path, method, body := g.o.Path, http.MethodGet, 0
	switch k {
	case Post:
		path, method, body = g.o.PostPath, http.MethodPost, g.o.Body
	case Slow:
		path = g.o.SlowPath
	}
	for ctx.Err() == nil && g.left.Add(-1) >= 0 {
		begin := time.Now()
		a, err := c.do(method, path, body, k == Fresh)
		g.record.add(t.name, k, begin, time.Now(), a, err)
		select {
		case <-ctx.Done():
		case <-time.After(g.o.Pause):
		}
	}
}
