package proxy

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

const maxHeaderBytes = 64 << 10 // of a request, and of an answer

// gate is the public side: it routes requests to targets.
type gate struct {
	routes     atomic.Pointer[routes]
	reverse    *httputil.ReverseProxy // for what forward does not do itself
	buffers    bufferPool
	compressor compressor
	access     *accessLog
	requests   atomic.Int64 // in flight, upgraded connections included
	metrics    metrics
	secure     secure
}

func newGate(access *accessLog) *gate {
	g := &gate{access: access}
	g.routes.Store(&routes{})
	g.reverse = &httputil.ReverseProxy{
		Rewrite: rewrite, Transport: roundTripper{g}, FlushInterval: -1, BufferPool: &g.buffers,
		ModifyResponse: g.compressor.modify, ErrorHandler: failed, ErrorLog: log.New(io.Discard, "", 0), // failures are in the access log
	}
	return g
}

// exchange is one request on its way, for those that see only part of it.
type exchange struct {
	host    string // normalised
	path    string
	service *live
	origin  origin
	cookies []string // header lines
	target  *upstream
	answer  *recorder // set once it is asked of the target
	upgrade string    // the protocol that the client wants
	secure  bool      // it came by https
	status  int
	bytes   atomic.Int64
	failure error
	cancel  context.CancelFunc // ends it
	spare   func() bool        // makes the cut of its target pass it by

	client *x509.Certificate // that the service's TLS.ClientCA vouches for; nil = it asks for none
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

var errAborted = errors.New("broken off")

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := &exchange{host: normalHost(r.Host), path: r.URL.Path, upgrade: r.Header.Get("Upgrade"), secure: r.TLS != nil, cookies: r.Header["Cookie"]}
	r.Header.Set("X-Request-Id", requestID(r))
	g.requests.Add(1)
	whole := false
	defer func() {
		// An aborted answer panics through here on purpose: it is logged, and goes on to the server.
		if !whole && x.failure == nil {
			x.failure = errAborted
		}
		g.access.write(r, x, start)
		g.metrics.request(r, x, time.Since(start))
		g.requests.Add(-1)
	}()
	g.serve(&recorder{w, x}, r, x)
	whole = true
}

func (g *gate) serve(w *recorder, r *http.Request, x *exchange) {
	switch {
	case r.Method == http.MethodConnect:
		writePage(w, r, http.StatusMethodNotAllowed, "This is no forward proxy.", 0)
		return
	case r.ProtoMajor != 1 && r.TLS == nil: // net/http lets the preface of HTTP/2 pass
		writePage(w, r, http.StatusHTTPVersionNotSupported, "Only HTTP/1 is spoken here.", 0)
		return
	}
	if g.challenge(w, r, x) {
		return
	}
	if !g.route(x) {
		writePage(w, r, http.StatusNotFound, "There is nothing here.", 0)
		return
	}
	defer func() { x.target.release() }() // by then it may be another one
	s := x.service
	x.origin = s.origin(r)
	if !s.admits(x.origin) {
		writePage(w, r, http.StatusForbidden, "This is not open to everybody.", 0)
		return
	}
	if !s.paced(w, r, x.origin) {
		return
	}
	if g.toHTTPS(w, r, s, x) || !s.certified(w, r, x) {
		return
	}
	if s.CanonicalHost != "" && x.host != s.CanonicalHost {
		redirect(w, r, s.CanonicalHost, x.origin)
		return
	}
	if s.moved(w, r, x.path) || !g.open(w, r, x) {
		return
	}
	if s = x.service; !s.certified(w, r, x) || !s.authorised(w, r) || g.eject(w, r, x) {
		return
	}
	if s.MaxRequestBody > 0 {
		if r.ContentLength > s.MaxRequestBody {
			writePage(w, r, http.StatusRequestEntityTooLarge, "The request is too large.", 0)
			return
		}
		r.Body = http.MaxBytesReader(w.ResponseWriter, r.Body, s.MaxRequestBody)
	}
	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), exchangeKey{}, x))
	defer cancel()
	x.cancel, x.spare = cancel, context.AfterFunc(x.target.life, cancel)
	defer func() { x.spare() }()
	r = r.WithContext(ctx)
	if s.StripPrefix && s.PathPrefix != "/" {
		r = stripped(r, s.PathPrefix)
	}
	g.forward(w, r, x)
}

// route claims the target for a request. One that a switch closed meanwhile turns it away: by then there is a newer
// snapshot.
func (g *gate) route(x *exchange) bool {
	for {
		s := g.routes.Load().find(x.host, x.path)
		if s == nil {
			return false
		}
		if u := s.claim(x); u != nil {
			x.service, x.target = s, u
			return true
		}
	}
}

// reroute moves a request that its target has not seen to another one, if there is any: to what has taken the target's place
// after a switch, else to a replica that is well and was not tried.
func (g *gate) reroute(x *exchange, tried []*upstream) bool {
	s, u := x.service, (*upstream)(nil)
	if x.target.leaving.Load() {
		if s = g.routes.Load().find(x.host, x.path); s == nil || s.Name != x.service.Name {
			return false
		}
		u = s.claim(x)
	} else if len(s.targets.all) > 1 {
		u = s.targets.other(tried)
	}
	if u == nil {
		return false
	}
	if !x.spare() { // the cut was faster: the request ends with its target
		u.release()
		return false
	}
	x.target.release()
	x.service, x.target, x.spare = s, u, context.AfterFunc(u.life, x.cancel)
	return true
}

// requestID is the client's, if it is a plain one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if id == "" || len(id) > maxName || strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return newRequestID()
	}
	return id
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

// rewrite makes the request that the target sees.
func rewrite(p *httputil.ProxyRequest) {
	x := exchangeOf(p.In.Context())
	p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = "http", x.target.Address, p.In.Host
	p.Out.URL.RawQuery = p.In.URL.RawQuery // as it came: also what Go finds malformed is the app's to judge
	p.Out.Trailer = p.In.Trailer           // the map itself: it is filled once the body has been read
	x.origin.vouch(p.Out.Header, p.In, x.origin.told(p.In.Header))
	x.introduce(p.Out.Header)
	p.Out.Header.Set("X-Request-Id", p.In.Header.Get("X-Request-Id"))
	if strings.Contains(strings.ToLower(x.upgrade), "h2c") { // the target would answer in a protocol that we do not speak
		p.Out.Header.Del("Upgrade")
		p.Out.Header.Del("Connection")
		p.Out.Header.Del("Http2-Settings")
	}
	if _, ok := p.In.Header["User-Agent"]; !ok {
		p.Out.Header["User-Agent"] = nil // or Go's own would be added
	}
}

// failed answers for a target that gave no answer.
func failed(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r.Context())
	x.failure = err
	var tooLarge *http.MaxBytesError
	var timeout net.Error
	switch {
	case errors.As(err, &tooLarge):
		writePage(w, r, http.StatusRequestEntityTooLarge, "The request is too large.", 0)
	case x.target.life.Err() != nil:
		writePage(w, r, http.StatusServiceUnavailable, "The service was replaced before it answered.", 1)
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

// clientAddr is the peer's address without a port.
func clientAddr(r *http.Request) string {
	if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return a.Addr().Unmap().String()
	}
	return r.RemoteAddr
}
