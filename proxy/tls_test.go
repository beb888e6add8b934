package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// freePort is one that nobody listens on.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startTLS runs a proxy that can serve https at the address.
func startTLS(t testing.TB) (g *gateway, addr string) {
	t.Helper()
	addr = freePort(t)
	return start(t, func(o *Options) { o.HTTPSAddr = addr }), addr
}

func (g *gateway) certify(service string, pair KeyPair) Certificate {
	g.t.Helper()
	c, err := g.Certify(g.t.Context(), service, pair, 1)
	if err != nil {
		g.t.Fatal(err)
	}
	return c
}

// browser asks for https://host at addr and trusts the pairs.
func browser(t testing.TB, addr string, http2 bool, trust ...KeyPair) *http.Client {
	roots := x509.NewCertPool()
	for _, p := range trust {
		roots.AppendCertsFromPEM([]byte(p.Certificate))
	}
	var d net.Dialer
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: http2,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return d.DialContext(ctx, network, addr)
		}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// read is the answer with its body.
func read(t testing.TB, c *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func request(t testing.TB, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// served is the fingerprint of what a handshake for the name is answered with, "" if it is refused.
func served(t testing.TB, addr, name string) string {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{ServerName: name, InsecureSkipVerify: true}}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return ""
	}
	defer c.Close()
	leaf := c.(*tls.Conn).ConnectionState().PeerCertificates[0]
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}))
}

// TestHTTPS: both versions of HTTP meet the whole gate.
func TestHTTPS(t *testing.T) {
	g, addr := startTLS(t)
	a := newApp(t, "v1")
	a.echo("/echo/")
	a.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("X-Sum", "sent "+r.Trailer.Get("X-Sent"))
	})
	a.HandleFunc("/own", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Strict-Transport-Security", "max-age=1") })
	pair := newPair(t, "shop.example", "*.shop.example")
	g.certify("shop", pair)
	s := Service{Name: "shop", Hosts: []string{"shop.example", "*.shop.example"}, MaxRequestBody: 1000, TLS: &TLS{HSTS: Duration(time.Hour)}}
	g.deploy(s, a.Target, 1)
	for _, major := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP/", major), func(t *testing.T) {
			c := browser(t, addr, major == 2, pair)
			resp, b := read(t, c, request(t, "GET", "https://shop.example/echo/a%2Fb?x=1;y", nil))
			if resp.ProtoMajor != major || resp.StatusCode != 200 || resp.Header.Get("Strict-Transport-Security") != "max-age=3600" {
				t.Errorf("%s %d %v", resp.Proto, resp.StatusCode, resp.Header)
			}
			for _, want := range []string{`"X-Forwarded-Proto":["https"]`, `"X-Forwarded-For":["127.0.0.1"]`, `"URI":"/echo/a%2Fb?x=1;y"`, `"Host":"shop.example"`} {
				if !strings.Contains(b, want) {
					t.Errorf("no %s in %s", want, b)
				}
			}
			up := request(t, "POST", "https://www.shop.example/trailers", struct{ io.Reader }{strings.NewReader("body")})
			up.Trailer = http.Header{"X-Sent": {"42"}}
			if resp, b = read(t, c, up); b != "body" || resp.Trailer.Get("X-Sum") != "sent 42" {
				t.Errorf("%q, trailer %v", b, resp.Trailer)
			}
			big := request(t, "POST", "https://shop.example/post", struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 1001))})
			if resp, _ = read(t, c, big); resp.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("too large: %d", resp.StatusCode)
			}
			if resp, _ = read(t, c, request(t, "GET", "https://shop.example/own", nil)); len(resp.Header["Strict-Transport-Security"]) != 1 || resp.Header.Get("Strict-Transport-Security") != "max-age=1" {
				t.Errorf("the app's own: %v", resp.Header)
			}
		})
	}
}

func TestHTTPLeadsToHTTPS(t *testing.T) {
	g, addr := startTLS(t)
	_, port, _ := net.SplitHostPort(addr)
	a := newApp(t, "v1")
	ask := func(header ...string) (int, string) {
		resp, _ := g.get("/a?b", append([]string{"Host", "shop.example:8080"}, header...)...)
		return resp.StatusCode, resp.Header.Get("Location")
	}
	g.certify("shop", newPair(t, "shop.example", "www.shop.example"))
	s := Service{Name: "shop", Hosts: []string{"shop.example", "www.shop.example"}, TLS: &TLS{}}
	g.deploy(s, a.Target, 1)
	if code, to := ask(); code != 308 || to != "https://shop.example:"+port+"/a?b" {
		t.Errorf("%d %s", code, to)
	}
	s.CanonicalHost = "www.shop.example"
	g.deploy(s, a.Target, 2)
	if code, to := ask(); code != 308 || to != "https://www.shop.example:"+port+"/a?b" {
		t.Errorf("canonical: %d %s", code, to)
	}
	s.CanonicalHost, s.TrustedProxies = "", []string{"127.0.0.1"}
	g.deploy(s, a.Target, 3)
	if code, _ := ask("X-Forwarded-Proto", "https"); code != 404 { // the app's
		t.Errorf("TLS has ended in front of us: %d", code)
	}
	s.TrustedProxies, s.TLS = nil, &TLS{KeepHTTP: true}
	g.deploy(s, a.Target, 4)
	if code, _ := ask(); code != 404 {
		t.Errorf("both are served: %d", code)
	}
}

// TestCertificatesChange without a restart, and a connection that is open goes on.
func TestCertificatesChange(t *testing.T) {
	g, addr := startTLS(t)
	a := newApp(t, "v1")
	first, second, other := newPair(t, "shop.example"), newPair(t, "shop.example"), newPair(t, "blog.example")
	if served(t, addr, "shop.example") != "" {
		t.Error("https before anybody asked for it")
	}
	g.certify("shop", first)
	g.certify("blog", other)
	g.deploy(Service{Name: "shop", Hosts: []string{"shop.example"}, TLS: &TLS{}}, a.Target, 1)
	g.deploy(Service{Name: "blog", Hosts: []string{"blog.example"}, TLS: &TLS{}}, a.Target, 1)
	c := browser(t, addr, true, first)
	read(t, c, request(t, "GET", "https://shop.example/", nil))
	g.certify("shop", second)
	if served(t, addr, "shop.example") != second.Certificate || served(t, addr, "blog.example") != other.Certificate {
		t.Error("not what was given last")
	}
	if _, b := read(t, c, request(t, "GET", "https://shop.example/", nil)); b != "v1" {
		t.Errorf("the open connection: %q", b)
	}
	for _, name := range []string{"else.example", "a.shop.example", ""} {
		if served(t, addr, name) != "" {
			t.Errorf("%q is served", name)
		}
	}
	st, err := g.Status(t.Context())
	if err != nil || len(st.Services) != 2 || st.Services[1].TLSCert == nil || st.Services[1].TLSCert.Names[0] != "shop.example" {
		t.Errorf("%+v, %v", st, err)
	}
	var old tls.RecordHeaderError
	_, err = (&tls.Dialer{Config: &tls.Config{MaxVersion: tls.VersionTLS11, ServerName: "shop.example", InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", addr)
	if err == nil || errors.As(err, &old) {
		t.Errorf("TLS 1.1: %v", err)
	}
}

// TestBrokenCertificate: one service's trouble is not another's, and no refused one takes the place of a good one.
func TestBrokenCertificate(t *testing.T) {
	g, addr := startTLS(t)
	a := newApp(t, "v1")
	good, blog := newPair(t, "shop.example"), newPair(t, "blog.example")
	shop := Service{Name: "shop", Hosts: []string{"shop.example"}, TLS: &TLS{}}
	var refused *refusedError
	if _, err := g.tryDeploy(shop, a.Target, 1); !errors.As(err, &refused) || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("without one: %v", err)
	}
	g.certify("shop", good)
	g.certify("blog", blog)
	for _, bad := range []KeyPair{{}, {good.Certificate, blog.PrivateKey}, {good.Certificate, "secret-of-mine"}, {strings.Repeat("x", MaxPair), good.PrivateKey}} {
		_, err := g.Certify(t.Context(), "shop", bad, 1)
		if !errors.As(err, &refused) || strings.Contains(err.Error(), "secret-of-mine") {
			t.Errorf("%v", err)
		}
	}
	g.deploy(shop, a.Target, 5)
	g.deploy(Service{Name: "blog", Hosts: []string{"blog.example"}, TLS: &TLS{}}, a.Target, 5)
	var stale *StaleError
	if _, err := g.Certify(t.Context(), "shop", newPair(t, "shop.example"), 4); !errors.As(err, &stale) {
		t.Errorf("of a run that was overtaken: %v", err)
	}
	path := filepath.Join(g.dir, "shop"+pairSuffix)
	if i, err := os.Stat(path); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", i, err)
	}
	g.stop()
	if err := os.WriteFile(path, []byte(`{"certificate":"`), 0o600); err != nil {
		t.Fatal(err)
	}
	again := start(t, func(o *Options) { o.HTTPSAddr, o.StateDir = addr, g.dir })
	if served(t, addr, "blog.example") != blog.Certificate || served(t, addr, "shop.example") != "" {
		t.Error("one broken file decides for another service")
	}
	st, err := again.Status(t.Context())
	if err != nil || len(st.Services) != 2 || !strings.Contains(st.Services[1].TLSCert.Error, "damaged") {
		t.Errorf("%+v, %v", st, err)
	}
	if _, err := again.Certify(t.Context(), "shop", good, 5); err != nil || served(t, addr, "shop.example") != good.Certificate {
		t.Errorf("mended: %v", err)
	}
	if err := again.Remove(t.Context(), "shop", 6); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the key of a service that is gone: %v", err)
	}
}

// TestPortOfHTTPSIsTaken: a service that asks for TLS is refused, the others are served.
func TestPortOfHTTPSIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	g, a := start(t, func(o *Options) { o.HTTPSAddr = l.Addr().String() }), newApp(t, "v1")
	g.certify("shop", newPair(t, "shop.example"))
	if _, err := g.tryDeploy(Service{Name: "shop", Hosts: []string{"shop.example"}, TLS: &TLS{}}, a.Target, 1); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v", err)
	}
	g.deploy(Service{Name: "blog"}, a.Target, 1)
	if _, b := g.get("/"); b != "v1" {
		t.Errorf("%s", b)
	}
}
