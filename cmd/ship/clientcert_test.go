package main_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestClientCertificates: with ssl.client_ca only clients with a certificate reach the app, on every host.
func TestClientCertificates(t *testing.T) {
	dir, far := t.TempDir(), time.Now().Add(90*24*time.Hour)
	at := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, key := issue(t, "inner.test", far)
	ann, annKey := issue(t, "ann.test", far)
	own, err := tls.X509KeyPair([]byte(ann), []byte(annKey))
	if err != nil {
		t.Fatal(err)
	}
	ca := at("clients.pem", annKey)
	conf := appOf(t, "inner", []string{"h1"}, "proxy: { host: inner.test, app_port: 3000, deploy_timeout: 20, drain_timeout: 10, ssl: { certificate: "+at("cert.pem", cert)+", private_key: "+at("key.pem", key)+", client_ca: "+ca+" } }")
	plainly := appOf(t, "inner", []string{"h1"}, "")
	v1 := image(t, "inner:v1")
	wants(t, mustShip(t, 80, "deploy", v1, "-c", conf).stderr, "ship.yaml:4:", ": proxy.ssl.client_ca: ", "something else")
	at("clients.pem", ann)
	mustShip(t, 0, "deploy", v1, "-c", plainly)
	mustShip(t, 0, "proxy", "upgrade", "-c", plainly) // to this build
	mustShip(t, 0, "deploy", v1, "-c", conf)
	ask := func(certs ...tls.Certificate) int {
		t.Helper()
		tr := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certs}, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", net.JoinHostPort(world.lab.Host("h1").Addr.String(), "443"))
		}}
		resp, err := (&http.Client{Transport: tr, Timeout: 5 * time.Second}).Get("https://inner.test/")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	both := func(after string) {
		t.Helper()
		if with, without := ask(own), ask(); with != http.StatusOK || without != http.StatusForbidden {
			t.Errorf("%s: %d with a certificate, %d without", after, with, without)
		}
		resp, err := client(world.lab.Host("h1")).Transport.RoundTrip(plain(t, "http://inner.test/"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusPermanentRedirect {
			t.Errorf("%s: %s by http", after, resp.Status)
		}
	}
	both("deploy")
	wants(t, mustShip(t, 0, "deploy", v1, "-c", conf).stderr, "nothing to do")
	mustShip(t, 0, "proxy", "upgrade", "-c", conf)
	both("upgrade")
}
