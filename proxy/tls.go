package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// TLS is how a service is reached by https. Its certificate comes by [Client.Certify].
type TLS struct {
	Auto     bool     `json:"auto,omitempty"`      // the proxy gets its certificate by itself; until it has one, http is answered
	KeepHTTP bool     `json:"keep_http,omitempty"` // http requests are answered too; else they are redirected to https
	HSTS     Duration `json:"hsts,omitempty"`      // for how long browsers shall insist on https; 0 = not said
	ClientCA string   `json:"client_ca,omitempty"` // certificates (PEM) of which one has to vouch for every client; "" = none has to
}

func (t *TLS) check() error {
	if t != nil && (t.HSTS < 0 || t.HSTS > Duration(maxHSTS)) {
		return fmt.Errorf("browsers cannot insist on https for %s", time.Duration(t.HSTS))
	}
	if t == nil || t.ClientCA == "" {
		return nil
	}
	if t.KeepHTTP {
		return errors.New("clients have no certificates by http: it cannot be answered too")
	}
	return CheckClientCA(t.ClientCA)
}

const maxHSTS = 10 * 365 * 24 * time.Hour

// listenerHTTPS is the name under which the socket for https changes hands.
const listenerHTTPS = "https"

// secure is the https side of the gate. Its socket is opened for the first service that asks for TLS: a host without any
// keeps the port free.
type secure struct {
	certs   atomic.Pointer[certificates]
	answers atomic.Pointer[answers] // to challenges; nil = none
	port    atomic.Int32            // that clients are redirected to; 0 = none listens
}

// config has Go's own choice of ciphers and curves, which is that of TLS 1.2 and 1.3 without what is broken.
func (c *secure) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.certs.Load().find(hello)
		},
	}
}

// http2Config ends connections whose client is gone without a word, and bounds what one client makes us hold: frames are of the
// size that every client may send unasked (RFC 9113, 4.2).
func http2Config() *http.HTTP2Config {
	return &http.HTTP2Config{MaxConcurrentStreams: 250, MaxReadFrameSize: 16 << 10, SendPingTimeout: 45 * time.Second, PingTimeout: 15 * time.Second}
}

// listenTLS has the socket for https: from the predecessor, else from the master, else anew if a service needs it. That it
// cannot listen must not keep the other services from being served.
func (s *server) listenTLS(held map[handedListener]net.Listener, before *predecessor) {
	key := handedListener{listenerHTTPS, s.o.HTTPSAddr}
	l := before.take(key)
	if l == nil && held[key] != nil {
		l = held[key]
		delete(held, key)
	}
	if l != nil {
		s.takeTLS(l)
		return
	}
	if !s.m.wantsTLS() {
		return
	}
	if err := s.bindTLS(); err != nil {
		s.o.Log.Error("https is not served", "error", err)
	}
}

func (s *server) bindTLS() error {
	if s.o.HTTPSAddr == "" {
		return &refusedError{fmt.Errorf("this proxy has no address for https")}
	}
	l, err := net.Listen("tcp", s.o.HTTPSAddr)
	if err != nil {
		return &refusedError{fmt.Errorf("listen for https: %w", err)}
	}
	s.takeTLS(l)
	return nil
}

func (s *server) takeTLS(l net.Listener) {
	s.publicTLS = l
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		s.m.gate.secure.port.Store(int32(a.Port))
	}
}

// openTLS is bindTLS while the proxy runs, once. The manager's lock is held: no hand-over is under way.
func (s *server) openTLS() error {
	if s.publicTLS != nil {
		return nil
	}
	if err := s.bindTLS(); err != nil {
		return err
	}
	if err := s.keep(); err != nil { // then a crash would refuse connections for a moment; it serves all the same
		s.o.Log.Error("nobody holds the socket for https should this process die", "error", err)
	}
	s.startTLS()
	return nil
}

// startTLS serves https, if there is a socket for it.
func (s *server) startTLS() {
	if s.publicTLS == nil {
		return
	}
	l := tls.NewListener(s.publicTLS, s.m.gate.asksClients(s.m.gate.secure.config()))
	s.serving.Go(func() { s.failed <- s.gate.Serve(l) })
}

// closeTLS takes no further connection.
func (s *server) closeTLS() {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.publicTLS != nil {
		_ = s.publicTLS.Close()
	}
}

// wantsTLS tells whether any service is to be reached by https.
func (m *manager) wantsTLS() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.services {
		if s.live != nil && s.live.TLS != nil {
			return true
		}
	}
	return false
}

// readyTLS makes the proxy ready for a service with TLS. The manager's lock is held.
func (m *manager) readyTLS(s Service) error {
	if s.TLS == nil {
		return nil
	}
	if err := m.certs.holds(s); err != nil && !s.TLS.Auto {
		return &refusedError{err}
	}
	return m.openTLS()
}

// toHTTPS sends a client that came by http to the same address by https, and tells whether it has.
func (g *gate) toHTTPS(w http.ResponseWriter, r *http.Request, s *live, x *exchange) bool {
	if s.TLS == nil || s.TLS.KeepHTTP || r.TLS != nil || x.host == "" || x.origin.trusted && r.Header.Get("X-Forwarded-Proto") == "https" {
		return false
	}
	if s.TLS.Auto && !g.secure.certs.Load().serves(x.host) {
		return false
	}
	host := x.host
	if s.CanonicalHost != "" {
		host = s.CanonicalHost
	}
	if port := int(g.secure.port.Load()); port != 443 && port != 0 {
		host = net.JoinHostPort(host, strconv.Itoa(port))
	} else if isAddress(host) && net.ParseIP(host).To4() == nil {
		host = "[" + host + "]"
	}
	sendTo(w, r, "https://"+host+r.URL.RequestURI())
	return true
}

// insist adds the service's HSTS to an answer by https, unless the app has its own.
func insist(resp *http.Response) {
	x := exchangeOf(resp.Request.Context())
	t := x.service.TLS
	if t == nil || t.HSTS <= 0 || !x.secure || resp.Header.Get("Strict-Transport-Security") != "" {
		return
	}
	resp.Header.Set("Strict-Transport-Security", "max-age="+strconv.FormatInt(int64(time.Duration(t.HSTS)/time.Second), 10))
}

// conn is the socket itself, for handing over.
func conn(l net.Listener) syscall.Conn {
	c, _ := l.(syscall.Conn) // as all of package net are
	return c
}
