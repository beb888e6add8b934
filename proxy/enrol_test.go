package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ship/internal/shiptest/pebble"
	"ship/proxy/acme"
)

// enrolment has a new account at the authority.
func enrolment(t testing.TB, s *pebble.Server, hosts ...string) acme.Enrolment {
	t.Helper()
	key, err := acme.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return acme.Enrolment{Hosts: hosts, Directory: s.Directory, Roots: string(s.Root), Email: "ann@shop.test", Key: key}
}

// startAuto runs a proxy for a service that gets its certificate by itself.
func startAuto(t testing.TB, http string, s Service) (g *gateway, https string) {
	t.Helper()
	https = freePort(t)
	g = start(t, func(o *Options) { o.HTTPAddr, o.HTTPSAddr, o.RenewEvery = http, https, 50*time.Millisecond })
	s.TLS = &TLS{Auto: true}
	g.deploy(s, newApp(t, "v1").Target, 1)
	return g, https
}

func portOf(t testing.TB, addr string) int {
	t.Helper()
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return int(a.Port())
}

// statusOf asks with a path by http; nothing is followed.
func (g *gateway) statusOf(host, path string) int {
	g.t.Helper()
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req := request(g.t, "GET", "http://"+g.addr+path, nil)
	req.Host = host
	resp, _ := read(g.t, &c, req)
	return resp.StatusCode
}

// TestIssuedForAll: one host orders, another one answers the authority, and both serve.
func TestIssuedForAll(t *testing.T) {
	asked := freePort(t)
	ca := pebble.Start(t, pebble.Options{HTTPPort: portOf(t, asked)})
	shop := Service{Name: "shop", Hosts: []string{"shop.test", "www.shop.test"}, Allow: []string{"192.0.2.1"}, BasicAuth: nil}
	a, httpsA := startAuto(t, "127.0.0.1:0", shop)
	b, httpsB := startAuto(t, asked, shop)
	if served(t, httpsA, "shop.test") != "" || a.statusOf("shop.test", "/") != http.StatusForbidden {
		t.Error("without a certificate, http is answered as ever")
	}
	e := enrolment(t, ca, "shop.test", "www.shop.test")
	for _, g := range []*gateway{a, b} {
		if err := g.Enrol(t.Context(), "shop", e, 1); err != nil {
			t.Fatal(err)
		}
	}
	told, err := a.Obtain(t.Context(), "shop")
	if err != nil || told.Check(e.Hosts, time.Now()) != nil {
		t.Fatalf("%+v, %v", told, err)
	}
	pair, err := a.Pair(t.Context(), "shop")
	if err != nil || pair == nil {
		t.Fatal(pair, err)
	}
	b.certify("shop", *pair)
	for _, addr := range []string{httpsA, httpsB} {
		if got := served(t, addr, "www.shop.test"); got == "" || !strings.HasPrefix(pair.Certificate, got) {
			t.Errorf("%s serves %q", addr, got)
		}
	}
	if code := a.statusOf("shop.test", "/"); code != http.StatusForbidden { // who may not come is not told where to go either
		t.Errorf("%d", code)
	}
	account, err := b.Account(t.Context(), "shop")
	if err != nil || account == nil || account.Key != e.Key {
		t.Errorf("another host cannot have the account: %v", err)
	}
	st := a.active1("shop")
	if st.ACME == nil || st.ACME.Digest != e.Digest() || st.ACME.Error != "" || time.Until(st.ACME.Next) < 24*time.Hour {
		t.Errorf("%+v", st.ACME)
	}
	for name := range map[string]bool{"shop.acme": true, "shop.pair": true} {
		if fi, err := os.Stat(filepath.Join(a.dir, name)); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, fi, err)
		}
	}
}

func (g *gateway) active1(name string) ServiceStatus {
	g.t.Helper()
	st, err := g.Status(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	for _, s := range st.Services {
		if s.Name == name {
			return s
		}
	}
	g.t.Fatalf("no service %s", name)
	return ServiceStatus{}
}

// TestIssuesByItself: without anybody who asks for it, also after a restart; http is redirected from then on; and it renews.
func TestIssuesByItself(t *testing.T) {
	asked := freePort(t)
	ca := pebble.Start(t, pebble.Options{HTTPPort: portOf(t, asked), Validity: 9 * time.Second})
	g, https := startAuto(t, asked, Service{Name: "shop", Hosts: []string{"shop.test"}})
	if err := g.Enrol(t.Context(), "shop", enrolment(t, ca, "shop.test"), 1); err != nil {
		t.Fatal(err)
	}
	eventuallyIn(t, time.Minute, "it is served", func() bool { return served(t, https, "shop.test") != "" })
	if code := g.statusOf("shop.test", "/"); code != http.StatusPermanentRedirect {
		t.Errorf("http answers %d", code)
	}
	first := served(t, https, "shop.test")
	dir := g.dir
	g.stop()
	again := start(t, func(o *Options) {
		o.HTTPAddr, o.HTTPSAddr, o.StateDir, o.RenewEvery = asked, https, dir, 50*time.Millisecond
	})
	if now := served(t, https, "shop.test"); now == "" {
		t.Error("after a restart there is none")
	}
	eventuallyIn(t, time.Minute, "it is renewed", func() bool { now := served(t, https, "shop.test"); return now != "" && now != first })
	if st := again.active1("shop"); st.ACME == nil || st.ACME.Error != "" {
		t.Errorf("%+v", st.ACME)
	}
}

func TestAuthorityRefuses(t *testing.T) {
	nobody := freePort(t) // listens where the authority asks
	ca := pebble.Start(t, pebble.Options{HTTPPort: portOf(t, nobody), EAB: map[string]string{"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}})
	https, metrics := freePort(t), freeAddress(t)
	g := start(t, func(o *Options) { o.HTTPSAddr, o.MetricsAddr = https, metrics })
	g.deploy(Service{Name: "shop", Hosts: []string{"shop.test"}, TLS: &TLS{Auto: true}}, newApp(t, "v1").Target, 1)
	without := enrolment(t, ca, "shop.test")
	with := without
	with.KeyID, with.HMAC = "kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	down := without
	down.Directory = "https://" + nobody + "/dir"
	strange := without
	strange.Roots = newPair(t, "other.test").Certificate
	for _, c := range []struct {
		name string
		e    acme.Enrolment
		want string
	}{
		{"no external account", without, "externalAccount"},
		{"nobody answers the challenge", with, "shop.test"},
		{"no authority", down, "refused"},
		{"a stranger", strange, "certificate"},
	} {
		if err := g.Enrol(t.Context(), "shop", c.e, 1); err != nil {
			t.Fatal(err)
		}
		_, err := g.Obtain(t.Context(), "shop")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		st := g.active1("shop")
		if st.ACME.Error == "" || time.Until(st.ACME.Next) < 30*time.Second || st.TLSCert == nil || st.TLSCert.Error == "" {
			t.Errorf("%s: %+v %+v", c.name, st.ACME, st.TLSCert)
		}
	}
	page := scrape(t, metrics)
	if !strings.Contains(page, `ship_proxy_certificate_failing{service="shop"} 1`) || strings.Contains(page, `not_after_seconds{`) {
		t.Errorf("metrics:\n%s", page)
	}
	if served(t, https, "shop.test") != "" || g.statusOf("shop.test", "/") != http.StatusOK {
		t.Error("http is not answered as before")
	}
	if _, err := g.Obtain(t.Context(), "other"); err == nil {
		t.Error("a service without an enrolment gets a certificate")
	}
	if p, err := g.Pair(t.Context(), "other"); err == nil {
		t.Errorf("a pair of nobody: %v", p)
	}
}

// TestChallengeGoesFirst: the authority comes by http, without a password, and before there is a service.
func TestChallengeGoesFirst(t *testing.T) {
	g := start(t)
	key, err := acme.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	e := acme.Enrolment{Hosts: []string{"Shop.test"}, Key: key}
	print, err := e.Thumbprint()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Enrol(t.Context(), "shop", e, 1); err != nil {
		t.Fatal(err)
	}
	ask := func(host, token string) (int, string) {
		req := request(t, "GET", "http://"+g.addr+challengePath+token, nil)
		req.Host = host
		resp, b := read(t, http.DefaultClient, req)
		return resp.StatusCode, b
	}
	if code, b := ask("shop.test", "tok_en-1"); code != 200 || b != "tok_en-1."+print {
		t.Errorf("%d %q", code, b)
	}
	for _, c := range [][2]string{{"other.test", "tok"}, {"shop.test", ""}, {"shop.test", "a.b"}, {"shop.test", strings.Repeat("a", 257)}, {"shop.test", "a%2fb"}} {
		if code, b := ask(c[0], c[1]); code != 404 {
			t.Errorf("%q: %d %q", c, code, b)
		}
	}
	for name, bad := range map[string]acme.Enrolment{
		"no host": {Key: key}, "a pattern": {Hosts: []string{"*.shop.test"}, Key: key}, "no key": {Hosts: []string{"shop.test"}}, "http": {Hosts: []string{"shop.test"}, Key: key, Directory: "http://x/"},
	} {
		if err := g.Enrol(t.Context(), "shop", bad, 1); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestObtainEndsWithItsCaller: an authority that says nothing holds nobody.
func TestObtainEndsWithItsCaller(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	g := start(t)
	key, err := acme.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	e := acme.Enrolment{Hosts: []string{"shop.test"}, Key: key, Directory: "https://" + l.Addr().String() + "/"}
	if err := g.Enrol(t.Context(), "shop", e, 1); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if _, err := g.Obtain(ctx, "shop"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// TestSecretsOfEnrolments: what is said of one names no key.
func TestSecretsOfEnrolments(t *testing.T) {
	g := start(t)
	key, err := acme.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	e := acme.Enrolment{Hosts: []string{"shop.test"}, Key: key, KeyID: "kid", HMAC: "c2VjcmV0"}
	if err := g.Enrol(t.Context(), "shop", e, 1); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(g.dir, "torn.acme"), []byte(`{"hosts":["torn.test"],"key":"-----BEGIN`), 0o600); err != nil {
		t.Fatal(err)
	}
	g.stop()
	again := start(t, func(o *Options) { o.StateDir = g.dir })
	if a, err := again.Account(t.Context(), "shop"); err != nil || a == nil || a.Key != key || !slices.Equal(a.Hosts, e.Hosts) {
		t.Errorf("after a restart: %v", err)
	}
	if a, err := again.Account(t.Context(), "torn"); err != nil || a != nil {
		t.Errorf("a torn one: %v %v", a, err)
	}
	resp, err := again.Client.send(t.Context(), http.MethodGet, "status", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || strings.Contains(string(b), "PRIVATE") || strings.Contains(string(b), "c2VjcmV0") {
		t.Errorf("status: %s %v", b, err)
	}
	if err := again.Remove(t.Context(), "shop", 2); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(g.dir, "shop.acme")); err == nil {
		t.Error("a removed service's account is still there")
	}
}
