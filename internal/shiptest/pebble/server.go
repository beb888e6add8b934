package pebble

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ship/internal/shiptest/testcert"
)

// Options say how a server behaves.
type Options struct {
	Listen   string              // its address without a port; "" = 127.0.0.1
	HTTPPort int                 // where it asks for http-01 challenges
	Addrs    map[string][]string // IPv4 addresses of hosts; any other name is 127.0.0.1
	Validity time.Duration       // of certificates, in whole seconds; 0 = 90 days
	EAB      map[string]string   // keys of external accounts, base64url, by their ID; nil = none is needed
}

// Server is an authority that runs until the test's end.
type Server struct {
	Directory string // URL
	Root      []byte // PEM: who vouches for the directory's https
}

// Start runs an authority. Some of its nonces are bad, as they are with real ones at times.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	p, err := build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1"
	}
	dir := t.TempDir()
	names, admin, listen := free(t, "127.0.0.1"), free(t, "127.0.0.1"), free(t, o.Listen)
	run(t, nil, p.names, "-dnsserver", names, "-management", admin, "-defaultIPv6", "", "-doh", "", "-http01", "", "-https01", "", "-tlsalpn01", "")
	for host, addrs := range o.Addrs {
		eventually(t, func() error {
			return tell(t.Context(), "http://"+admin+"/add-a", map[string]any{"host": host + ".", "addresses": addrs})
		})
	}
	s := &Server{Directory: "https://" + listen + "/dir", Root: writePair(t, dir, o.Listen)}
	validity := int(o.Validity.Seconds())
	if validity == 0 {
		validity = 90 * 24 * 3600
	}
	config := map[string]any{
		"listenAddress": listen, "managementListenAddress": free(t, "127.0.0.1"), "certificate": filepath.Join(dir, "cert.pem"), "privateKey": filepath.Join(dir, "key.pem"),
		"httpPort": o.HTTPPort, "tlsPort": 1, "retryAfter": map[string]int{"authz": 1, "order": 1}, "keyAlgorithm": "ecdsa",
		"profiles":                       map[string]any{"default": map[string]any{"description": "the only one", "validityPeriod": validity}},
		"externalAccountBindingRequired": o.EAB != nil, "externalAccountMACKeys": o.EAB,
	}
	b, err := json.Marshal(map[string]any{"pebble": config})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	run(t, []string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=5", "PEBBLE_AUTHZREUSE=0"}, p.pebble, "-config", filepath.Join(dir, "config.json"), "-dnsserver", names)
	eventually(t, func() error { return s.answers(t.Context()) })
	return s
}

// answers tells whether the directory can be read.
func (s *Server) answers(ctx context.Context) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.Root)
	c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Directory, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", resp.Status)
	}
	return nil
}

// run starts a program that ends with the test. What it said is shown if the test failed.
func run(t testing.TB, env []string, program string, args ...string) {
	t.Helper()
	out := &output{}
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended, which the test has noticed then
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(program), out)
		}
	})
}

// output keeps the last of what a program says.
type output struct {
	mu sync.Mutex
	b  []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.b = append(o.b, p...)
	o.b = o.b[max(0, len(o.b)-16<<10):]
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.ToValidUTF8(string(o.b), "?")
}

// free is an address where nobody listens.
func free(t testing.TB, ip string) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func eventually(t testing.TB, do func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = do(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

func tell(ctx context.Context, url string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(b))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// writePair makes the certificate of the directory's own https, which vouches for itself.
func writePair(t testing.TB, dir, ip string) (root []byte) {
	t.Helper()
	cert, key, err := testcert.Today(ip)
	for name, text := range map[string]string{"cert.pem": cert, "key.pem": key} {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return []byte(cert)
}
