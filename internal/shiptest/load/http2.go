package load

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
)

// http2Asker asks over a connection that all workers of a server share.
type http2Asker struct {
	target    *target
	transport *http.Transport
	o         Options
}

// startHTTP2 begins the workers of a server.
func (g *Generator) startHTTP2(ctx context.Context, t *target) {
	d := net.Dialer{Timeout: g.o.Timeout}
	if g.o.From.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(g.o.From, 0))
	}
	tr := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "tcp", t.address) },
		TLSClientConfig:   &tls.Config{ServerName: t.host, InsecureSkipVerify: true}, // who answers is the test's business
		ForceAttemptHTTP2: true,
	}
	a := http2Asker{t, tr, g.o}
	for range g.o.Workers {
		g.workers.Go(func() { g.work(ctx, t, HTTP2, a) })
	}
}

func (h http2Asker) close() { h.transport.CloseIdleConnections() }

// ask sends one GET. What the server says it has not begun (GOAWAY, REFUSED_STREAM) the transport may send again, which is
// counted.
func (h http2Asker) ask(ctx context.Context) (a answer, err error) {
	conns := 0
	ctx, stop := context.WithTimeout(ctx, h.o.Timeout)
	defer stop()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { conns++ }})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+h.target.host+h.o.Path, nil)
	if err != nil {
		return a, err
	}
	resp, err := h.transport.RoundTrip(req)
	a.again = max(0, conns-1)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	a.version = resp.Header.Get("X-Version")
	if resp.ProtoMajor != 2 {
		return a, fmt.Errorf("%s instead of HTTP/2", resp.Proto)
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody)); err != nil {
		return a, err
	}
	if resp.StatusCode/100 != 2 {
		return a, fmt.Errorf("%w: %s", errStatus, resp.Status)
	}
	return a, nil
}
