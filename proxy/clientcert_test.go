package proxy

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// authority vouches for clients.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t testing.TB, name string) *authority {
	a := &authority{t: t}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert, a.key = a.sign(c, c, nil)
	a.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
	return a
}

// sign makes a certificate and its key; without a key of the parent it signs itself.
func (a *authority) sign(c, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err == nil {
		c, err = x509.ParseCertificate(der)
	}
	if err != nil {
		a.t.Fatal(err)
	}
	return c, key
}

// client is a certificate for one, valid for so long.
func (a *authority) client(name pkix.Name, valid time.Duration) *tls.Certificate {
	c := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: name, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(valid), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	leaf, key := a.sign(c, a.cert, a.key)
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// shows makes a client show a certificate whenever it is asked for one, and remember sessions.
func shows(c *http.Client, cert *tls.Certificate) *http.Client {
	conf := c.Transport.(*http.Transport).TLSClientConfig
	conf.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if cert == nil {
			return &tls.Certificate{}, nil
		}
		return cert, nil
	}
	return c
}

// TestClientCertificates: who has one that the service's authority vouches for comes in, and is introduced; nobody else does.
func TestClientCertificates(t *testing.T) {
	g, addr := startTLS(t)
	a := newApp(t, "v1")
	a.echo("/echo")
	a.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get(headerSubject)) })
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	pair := newPair(t, "*.example")
	deploy := func(name, ca string, generation int64) {
		t.Helper()
		g.certify(name, pair)
		g.deploy(Service{Name: name, Hosts: []string{name + ".example"}, TLS: &TLS{ClientCA: ca}}, a.Target, generation)
	}
	deploy("ours", ours.pem, 1)
	deploy("theirs", theirs.pem, 1)
	deploy("open", "", 1)
	ann := ours.client(pkix.Name{CommonName: "ann,O=root\r\nX-Evil: 1", Organization: []string{"Zoë"}}, time.Hour)
	sum := sha256.Sum256(ann.Leaf.Raw)
	for _, http2 := range []bool{false, true} {
		in, out := shows(browser(t, addr, http2, pair), ann), shows(browser(t, addr, http2, pair), nil)
		ask := func(c *http.Client, method, host string) (*http.Response, string) {
			t.Helper()
			r := request(t, method, "https://"+host+".example/echo", nil)
			for _, name := range []string{"X-Client-Cert-Subject", "X_Client_Cert_Subject", "X-Client-Cert-Fingerprint", "X-Client-Cert-Other"} {
				r.Header[name] = []string{"CN=forged"}
			}
			r.Header.Set("Connection", "X-Client-Cert-Subject")
			if http2 {
				r.Header.Del("Connection")
			}
			return read(t, c, r)
		}
		resp, body := ask(in, "GET", "ours")
		for _, want := range []string{`"X-Client-Cert-Subject":["CN=ann\\,O=root\\0D\\0AX-Evil: 1,O=Zo\\C3\\AB"]`, `"X-Client-Cert-Fingerprint":["` + hex.EncodeToString(sum[:]) + `"]`} {
			if resp.StatusCode != 200 || !strings.Contains(body, want) || strings.Contains(body, "forged") {
				t.Errorf("%s: no %s in %d %s", resp.Proto, want, resp.StatusCode, body)
			}
		}
		if resp, body = ask(in, "POST", "ours"); resp.StatusCode != 200 || !strings.HasPrefix(body, `CN=ann\,O=root`) {
			t.Errorf("%s, the long way: %d %s", resp.Proto, resp.StatusCode, body)
		}
		if resp, body = ask(in, "GET", "open"); resp.StatusCode != 200 || strings.Contains(body, "X-Client") || strings.Contains(body, "forged") {
			t.Errorf("%s, open to all: %d %s", resp.Proto, resp.StatusCode, body)
		}
		if resp, body = ask(out, "GET", "ours"); resp.StatusCode != 403 || !strings.Contains(body, "certificate") {
			t.Errorf("%s without one: %d %s", resp.Proto, resp.StatusCode, body)
		}
		if resp, _ = ask(out, "GET", "open"); resp.StatusCode != 200 {
			t.Errorf("%s without one, open to all: %d", resp.Proto, resp.StatusCode)
		}
		for what, cert := range map[string]*tls.Certificate{"of another authority": theirs.client(pkix.Name{CommonName: "bob"}, time.Hour), "that has ended": ours.client(pkix.Name{CommonName: "ann"}, -time.Minute)} {
			c := shows(browser(t, addr, http2, pair), cert)
			if resp, err := c.Do(request(t, "GET", "https://ours.example/echo", nil)); err == nil {
				resp.Body.Close()
				t.Errorf("with one %s: %d", what, resp.StatusCode)
			}
		}
	}
	// By http it is never answered, whatever a client says.
	for _, header := range [][]string{nil, {"X-Forwarded-Proto", "https"}} {
		if resp, _ := g.get("/echo", append(header, "Host", "ours.example")...); resp.StatusCode != http.StatusPermanentRedirect {
			t.Errorf("by http: %d", resp.StatusCode)
		}
	}
	// Another authority counts at once, for connections that are open too.
	in := shows(browser(t, addr, true, pair), ann)
	read(t, in, request(t, "GET", "https://ours.example/echo", nil))
	deploy("ours", theirs.pem, 2)
	if resp, _ := read(t, in, request(t, "GET", "https://ours.example/echo", nil)); resp.StatusCode != 403 {
		t.Errorf("after the authority has changed: %d", resp.StatusCode)
	}
	in.CloseIdleConnections() // and for a session that the client remembers
	if resp, err := in.Do(request(t, "GET", "https://ours.example/echo", nil)); err == nil {
		resp.Body.Close()
		t.Errorf("again, after the authority has changed: %d", resp.StatusCode)
	}
}

// TestClientCertificateAndPlainHTTP: where http would be answered, a service that wants certificates is not.
func TestClientCertificateAndPlainHTTP(t *testing.T) {
	g, _ := startTLS(t)
	a, ca := newApp(t, "v1"), newAuthority(t, "ca")
	g.certify("behind", newPair(t, "behind.example"))
	g.deploy(Service{Name: "behind", Hosts: []string{"behind.example"}, TrustedProxies: []string{"127.0.0.1"}, TLS: &TLS{ClientCA: ca.pem}}, a.Target, 1)
	g.deploy(Service{Name: "auto", Hosts: []string{"auto.example"}, TLS: &TLS{Auto: true, ClientCA: ca.pem}}, a.Target, 1)
	for _, host := range []string{"behind.example", "auto.example"} { // TLS has ended before it; it has no certificate yet
		if resp, _ := g.get("/", "Host", host, "X-Forwarded-Proto", "https", headerSubject, "CN=ann"); resp.StatusCode != 403 {
			t.Errorf("%s: %d", host, resp.StatusCode)
		}
	}
	if n := a.requests.Load(); n != 0 {
		t.Errorf("%d requests reached the app", n)
	}
}

// TestClientCertificateOfAnotherName: neither a connection made for another host nor one for no host is a way around it.
func TestClientCertificateOfAnotherName(t *testing.T) {
	g, addr := startTLS(t)
	a := newApp(t, "v1")
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	pair := newPair(t, "*.example")
	for name, ca := range map[string]string{"ours": ours.pem, "theirs": theirs.pem, "open": ""} {
		g.certify(name, pair)
		g.deploy(Service{Name: name, Hosts: []string{name + ".example"}, TLS: &TLS{ClientCA: ca}}, a.Target, 1)
	}
	inner := Service{Name: "inner", Hosts: []string{"open.example"}, PathPrefix: "/inner", StripPrefix: true, TLS: &TLS{ClientCA: ours.pem}}
	g.certify("inner", pair)
	g.deploy(inner, a.Target, 1)
	own, foreign := ours.client(pkix.Name{CommonName: "ann"}, time.Hour), theirs.client(pkix.Name{CommonName: "bob"}, time.Hour)
	for _, c := range []struct {
		name, host, path string
		cert             *tls.Certificate
		status           int
	}{
		{"ours.example", "ours.example", "/", own, 200}, {"OURS.example", "Ours.Example.", "/", own, 200},
		{"open.example", "ours.example", "/", nil, 421}, {"open.example", "ours.example", "/", own, 421},
		{"theirs.example", "ours.example", "/", foreign, 421}, {"ours.example", "theirs.example", "/", own, 421},
		{"ours.example", "open.example", "/", own, 200},
		{"open.example", "open.example", "/inner/", own, 200}, {"open.example", "open.example", "/inner/", nil, 403},
		{"open.example", "open.example", "/", nil, 200}, {"open.example", "open.example", "/inner/", foreign, 403}, // it keeps to itself what nobody asks for
	} {
		conf := &tls.Config{ServerName: c.name, InsecureSkipVerify: true}
		if c.cert != nil {
			conf.Certificates = []tls.Certificate{*c.cert}
		}
		got, err := askRaw(t, addr, conf, c.host, c.path)
		if got != c.status || err != nil {
			t.Errorf("%+v: %d, %v", c, got, err)
		}
	}
}

// TestClientCertificateByAddress: an address is never named in a handshake. That must be no way to a service that has a name.
func TestClientCertificateByAddress(t *testing.T) {
	g, addr := startTLS(t)
	a, ours := newApp(t, "v1"), newAuthority(t, "ours")
	g.certify("ours", newPair(t, "ours.example"))
	g.deploy(Service{Name: "ours", Hosts: []string{"ours.example", "127.0.0.1"}, TLS: &TLS{ClientCA: ours.pem}}, a.Target, 1)
	own := ours.client(pkix.Name{CommonName: "ann"}, time.Hour)
	for _, c := range []struct {
		host   string
		cert   *tls.Certificate
		status int
	}{{"127.0.0.1", own, 200}, {"127.0.0.1", nil, 403}, {"ours.example", own, 421}, {"ours.example", nil, 421}} {
		conf := &tls.Config{ServerName: "127.0.0.1", InsecureSkipVerify: true}
		if c.cert != nil {
			conf.Certificates = []tls.Certificate{*c.cert}
		}
		if got, err := askRaw(t, addr, conf, c.host, "/"); got != c.status || err != nil {
			t.Errorf("%+v: %d, %v", c, got, err)
		}
	}
}

// askRaw asks by HTTP/1.1 for a host other than that of the handshake, perhaps.
func askRaw(t *testing.T, addr string, conf *tls.Config, host, path string) (status int, err error) {
	t.Helper()
	c, err := (&tls.Dialer{Config: conf}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return resp.StatusCode, nil
}

// TestVouchers: clients are asked for a certificate only where the name may lead to a service that wants one.
func TestVouchers(t *testing.T) {
	var all []*live
	cas := map[*x509.Certificate]string{}
	for _, s := range []Service{
		{Name: "open", Hosts: []string{"open.example"}, PathPrefix: "/"}, {Name: "part", Hosts: []string{"part.example"}, PathPrefix: "/part"},
		{Name: "below", Hosts: []string{"*.example"}, PathPrefix: "/below"}, {Name: "inner", Hosts: []string{"*.example"}, PathPrefix: "/"},
		{Name: "rest", PathPrefix: "/"},
	} {
		if s.Name != "open" {
			s.TLS = &TLS{ClientCA: newAuthority(t, s.Name).pem}
		}
		l := newLive(s, nil)
		for _, c := range l.clients {
			cas[c] = s.Name
		}
		all = append(all, l)
	}
	r := newRoutes(all)
	for host, want := range map[string]string{"open.example": "", "part.example": "part below inner", "a.example": "below inner", "else.test": "rest", "": "below inner part rest"} {
		var got []string
		for _, c := range r.vouchers(host) {
			got = append(got, cas[c])
		}
		if host == "" { // of all hosts, in any order
			slices.Sort(got)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %v, want %s", host, got, want)
		}
	}
}

func TestBadClientCA(t *testing.T) {
	ca, leaf := newAuthority(t, "ca"), newPair(t, "a.example")
	for text, want := range map[string]string{
		"": "", ca.pem: "", ca.pem + ca.pem: "", leaf.Certificate + leaf.PrivateKey: "something else", "none": "there is none",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n": "malformed", strings.Repeat(ca.pem, 100): "bytes",
	} {
		err := (&TLS{ClientCA: text}).check()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v", text, err)
		}
	}
	if err := (&TLS{ClientCA: ca.pem, KeepHTTP: true}).check(); err == nil {
		t.Error("answered by http too")
	}
	g, a := start(t), newApp(t, "v1")
	var refused *refusedError
	if _, err := g.tryDeploy(Service{Name: "a", TLS: &TLS{ClientCA: "none"}}, a.Target, 1); !errors.As(err, &refused) {
		t.Error(err)
	}
}
