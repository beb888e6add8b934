package proxy

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxHeaderBytes = 64 << 10
	holdTimeout    = 2 * time.Second // a target that refuses connections may be restarting
	holdPause      = 50 * time.Millisecond
)

// gate is the public side: it routes requests to targets.
type gate struct {
	routes atomic.Pointer[routes]
	log    *slog.Logger
	access *accessLog
	buffer bufferPool
}

// exchange is one request on its way, for those that see only part of it.
type exchange struct {
	service *live
	target  *upstream
	status  int
	bytes   int64
	failure error
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := &exchange{}
	r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	if r.Header.Get("X-Request-Id") == "" {
		r.Header.Set("X-Request-Id", newRequestID())
	}
	rec := &recorder{ResponseWriter: w, x: x}
	defer func() {
		// An aborted answer panics through here on purpose: it is logged, and goes on to the server.
		g.access.write(r, x, start)
	}()
	g.serve(rec, r, x)
}

func (g *gate) serve(w *recorder, r *http.Request, x *exchange) {
	x.service = g.routes.Load().find(normalHost(r.Host), r.URL.Path)
	if x.service == nil {
		writePage(w, r, http.StatusNotFound, "There is nothing here.", 0)
		return
	}
	s := x.service
	if s.MaxRequestBody > 0 {
		if r.ContentLength > s.MaxRequestBody {
			writePage(w, r, http.StatusRequestEntityTooLarge, "The request is too large.", 0)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, s.MaxRequestBody)
	}
	if x.target = claim(s); x.target == nil {
		writePage(w, r, http.StatusServiceUnavailable, "The service is not running.", 5)
		return
	}
	defer x.target.release()
	if s.StripPrefix && s.PathPrefix != "/" {
		r = stripped(r, s.PathPrefix)
	}
	w.target = x.target
	g.reverse().ServeHTTP(w, r)
}

// claim takes the active target of s. A target that a switch closed meanwhile sends the request back to the pointer,
// which by then names its successor.
func claim(s *live) *upstream {
	for {
		u := s.target.Load()
		if u == nil || u.claim() {
			return u
		}
	}
}

func stripped(r *http.Request, prefix string) *http.Request {
	r2 := new(http.Request)
	*r2 = *r
	u := *r.URL
	r2.URL = &u
	u.Path = "/" + strings.TrimPrefix(strings.TrimPrefix(u.Path, prefix), "/")
	if u.RawPath != "" {
		u.RawPath = "/" + strings.TrimPrefix(strings.TrimPrefix(u.RawPath, prefix), "/")
	}
	return r2
}

func (g *gate) reverse() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: rewrite, Transport: roundTripper{}, FlushInterval: -1, BufferPool: &g.buffer,
		ModifyResponse: endAtCut, ErrorHandler: g.failed, ErrorLog: log.New(io.Discard, "", 0), // failures are in the access log
	}
}

// rewrite makes the request that the target sees. Forwarding headers of the client are dropped, for anybody can write
// them; what the proxy knows by itself takes their place.
func rewrite(p *httputil.ProxyRequest) {
	x := exchangeOf(p.In.Context())
	p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = "http", x.target.Address, p.In.Host
	p.Out.URL.RawQuery = p.In.URL.RawQuery // as it came: also what Go finds malformed is the app's to judge
	p.Out.Header.Del("Forwarded")
	p.SetXForwarded()
	if strings.EqualFold(p.In.Header.Get("Upgrade"), "h2c") { // the target would answer in a protocol that we do not speak
		p.Out.Header.Del("Upgrade")
		p.Out.Header.Del("Connection")
		p.Out.Header.Del("Http2-Settings")
	}
	if _, ok := p.In.Header["User-Agent"]; !ok {
		p.Out.Header["User-Agent"] = nil // or Go's own would be added
	}
}

// roundTripper sends a request to its target. While the target refuses connections, no byte of the request has been
// seen by anybody: it is held, and tried again, for the target may be on its way back.
type roundTripper struct{}

func (roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	u := exchangeOf(r.Context()).target
	via := u.fresh
	if mayRepeat(r) {
		via = u.reused
	}
	var body *keepOpen
	if r.Body != nil && r.Body != http.NoBody {
		body = &keepOpen{ReadCloser: r.Body}
		r = r.Clone(r.Context())
		r.Body = body
	}
	for deadline := time.Now().Add(holdTimeout); ; {
		resp, err := via.RoundTrip(r)
		if err == nil || !isDialError(err) || body.wasRead() || time.Now().After(deadline) {
			return resp, err
		}
		select {
		case <-r.Context().Done():
			return nil, err
		case <-u.cut:
			return nil, err
		case <-time.After(holdPause):
		}
	}
}

// mayRepeat says whether a request that went out on a connection which the target was just closing may be sent again.
// net/http does so by itself for these; all others get a connection of their own, on which that cannot happen.
func mayRepeat(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return r.Body == nil || r.Body == http.NoBody
	}
	return false
}

// keepOpen keeps a transport that could not connect from closing the client's body, which a second try needs.
type keepOpen struct {
	io.ReadCloser
	read atomic.Bool
}

func (k *keepOpen) Read(p []byte) (int, error) {
	k.read.Store(true)
	return k.ReadCloser.Read(p)
}

func (k *keepOpen) Close() error { return nil } // the server closes it

func (k *keepOpen) wasRead() bool { return k != nil && k.read.Load() }

// endAtCut makes an answer without a known length end, properly, at the drain deadline of its target.
func endAtCut(resp *http.Response) error {
	if resp.ContentLength < 0 && resp.StatusCode != http.StatusSwitchingProtocols {
		x := exchangeOf(resp.Request.Context())
		resp.Body = newCutBody(resp.Body, x.target.cut)
	}
	return nil
}

// cutBody ends with io.EOF when cut is closed, whatever its source still has.
type cutBody struct {
	io.ReadCloser
	cut  <-chan struct{}
	done chan struct{}
	once sync.Once
}

func newCutBody(rc io.ReadCloser, cut <-chan struct{}) *cutBody {
	b := &cutBody{ReadCloser: rc, cut: cut, done: make(chan struct{})}
	go func() {
		select {
		case <-cut:
			_ = rc.Close() // unblocks Read, which then tells the end
		case <-b.done:
		}
	}()
	return b
}

func (b *cutBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		select {
		case <-b.cut:
			return n, io.EOF
		default:
		}
	}
	return n, err
}

func (b *cutBody) Close() error {
	b.once.Do(func() { close(b.done) })
	return b.ReadCloser.Close()
}

// failed answers for a target that gave no answer.
func (g *gate) failed(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r.Context())
	x.failure = err
	var tooLarge *http.MaxBytesError
	var timeout net.Error
	switch {
	case errors.As(err, &tooLarge):
		writePage(w, r, http.StatusRequestEntityTooLarge, "The request is too large.", 0)
	case r.Context().Err() != nil:
		x.status = statusClientGone // nobody is there to read an answer
		panic(http.ErrAbortHandler)
	case isDialError(err):
		writePage(w, r, http.StatusServiceUnavailable, "The service does not answer.", 5)
	case errors.As(err, &timeout) && timeout.Timeout():
		writePage(w, r, http.StatusGatewayTimeout, "The service took too long to answer.", 0)
	default:
		writePage(w, r, http.StatusBadGateway, "The service broke off its answer.", 0)
	}
}

// statusClientGone is what the access log says of a client that did not wait; nginx's number.
const statusClientGone = 499

// recorder sees what is answered.
type recorder struct {
	http.ResponseWriter
	x      *exchange
	target *upstream
}

// WriteHeader keeps the final status: a 103 is only on the way to it.
func (w *recorder) WriteHeader(code int) {
	if code >= 200 || code == http.StatusSwitchingProtocols {
		w.x.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.x.status == 0 {
		w.x.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.x.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach Flush and the deadlines.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// clientAddr is the peer's address without a port.
func clientAddr(r *http.Request) string {
	if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return a.Addr().Unmap().String()
	}
	return r.RemoteAddr
}

type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 32<<10)
}

func (p *bufferPool) Put(b []byte) { p.pool.Put(&b) }
