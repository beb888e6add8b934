package main_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ship/internal/shiptest/testcert"
)

// issue makes a certificate for the name, and its key, both PEM.
func issue(t *testing.T, name string, ends time.Time) (cert, key string) {
	t.Helper()
	cert, key, err := testcert.SelfSigned(time.Now().Add(-30*24*time.Hour), ends, name)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// servesTLS fails unless the service answers on the host by HTTP/2, with the version and this very certificate.
func servesTLS(t *testing.T, host, service, version, cert string) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(cert))
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots}, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", net.JoinHostPort(world.lab.Host(host).Addr.String(), "443"))
	}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr, Timeout: 5 * time.Second}).Get("https://" + service + ".test/")
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || resp.ProtoMajor != 2 || resp.Header.Get("X-Version") != version {
		t.Errorf("%s %s %v", resp.Proto, resp.Status, resp.Header)
	}
}

// TestOwnCertificate: https from the first deploy on, another certificate without another container, and no key on the host
// but in the proxy's volume.
func TestOwnCertificate(t *testing.T) {
	dir, far := t.TempDir(), time.Now().Add(90*24*time.Hour)
	at := filepath.Join(dir, "locked.pem")
	conf := appOf(t, "locked", []string{"h1", "h3"}, "proxy: { host: locked.test, app_port: 3000, deploy_timeout: 20, drain_timeout: 10, ssl: { certificate: "+at+", private_key: LOCKED_KEY, hsts_days: 1 } }")
	run := func(code int, cert, key string, args ...string) outcome {
		t.Helper()
		if err := os.WriteFile(at, []byte(cert), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := command(t, append(args, "-c", conf)...)
		cmd.Env = append(cmd.Env, "LOCKED_KEY="+key)
		o := finish(t, cmd)
		if o.code != code {
			t.Fatalf("%v: want exit %d\n%s", args, code, o)
		}
		if strings.Contains(o.stdout+o.stderr, "PRIVATE KEY") {
			t.Error("the key is in the output")
		}
		return o
	}
	v1 := image(t, "locked:v1")
	first, firstKey := issue(t, "locked.test", far)
	second, secondKey := issue(t, "locked.test", time.Now().Add(7*24*time.Hour))
	wants(t, run(80, first, secondKey, "deploy", v1).stderr, "does not match")
	other, otherKey := issue(t, "other.test", far)
	wants(t, run(80, other, otherKey, "deploy", v1).stderr, "is not for", "locked.test")
	gone, goneKey := issue(t, "locked.test", time.Now().Add(-time.Hour))
	wants(t, run(80, gone, goneKey, "deploy", v1).stderr, "expired")

	run(0, first, firstKey, "deploy", v1)
	before := map[string][]string{}
	for _, name := range []string{"h1", "h3"} {
		servesTLS(t, name, "locked", "v1", first)
		before[name] = running(t, "locked", name)
		resp, err := client(world.lab.Host(name)).Transport.RoundTrip(plain(t, "http://locked.test/a?b"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if to := resp.Header.Get("Location"); resp.StatusCode != 308 || to != "https://locked.test/a?b" {
			t.Errorf("http: %s %s", resp.Status, to)
		}
		found, err := world.lab.Host(name).Exec(t.Context(), "docker ps -aq | xargs docker inspect | grep -c 'PRIVATE KEY'; grep -rl 'PRIVATE KEY' /var/lib/ship /tmp 2>/dev/null; find $(docker volume inspect -f '{{.Mountpoint}}' ship-proxy) -name '*.pair' ! -perm 600; true")
		if err != nil || strings.TrimSpace(found) != "0" {
			t.Errorf("%s: the key lies about: %q, %v", name, found, err)
		}
	}
	wants(t, run(0, first, firstKey, "deploy", v1).stderr, "nothing to do")
	o := run(0, second, secondKey, "deploy", v1)
	wants(t, o.stderr, "ends on", "in 6 days")
	for _, name := range []string{"h1", "h3"} {
		servesTLS(t, name, "locked", "v1", second)
		if now := running(t, "locked", name); !slices.Equal(now, before[name]) {
			t.Errorf("%s: %v instead of %v", name, now, before[name])
		}
	}
	run(0, second, secondKey, "proxy", "upgrade")
	wants(t, run(0, second, secondKey, "proxy", "status").stdout, "CERTIFICATE", "until "+time.Now().Add(7*24*time.Hour).UTC().Format(time.DateOnly))
	run(0, second, secondKey, "deploy", image(t, "locked:v2"))
	servesTLS(t, "h3", "locked", "v2", second)
}

func plain(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
