package main_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ship/internal/shiptest/pebble"
)

// leaf is the certificate that a host shows for a service, as DER; nil = none.
func leaf(t *testing.T, host, service string) []byte {
	t.Helper()
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: &tls.Config{ServerName: service + ".test", InsecureSkipVerify: true}}
	c, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(world.lab.Host(host).Addr.String(), "443"))
	if err != nil {
		return nil
	}
	defer c.Close()
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw
}

// TestAutomaticCertificate: one order for two hosts, of which only one is asked by the authority; a deploy without an
// authority serves by http, and says so.
func TestAutomaticCertificate(t *testing.T) {
	here, err := net.Dial("udp", net.JoinHostPort(world.lab.Host("h1").Addr.String(), "80")) // sends nothing
	if err != nil {
		t.Fatal(err)
	}
	here.Close()
	address, _, err := net.SplitHostPort(here.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	ca := pebble.Start(t, pebble.Options{Listen: address, HTTPPort: 80, Addrs: map[string][]string{"minted.test": {world.lab.Host("h3").Addr.String()}}})
	root := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(root, ca.Root, 0o600); err != nil {
		t.Fatal(err)
	}
	file := func(directory string) string {
		return appOf(t, "minted", []string{"h1", "h3"}, "proxy: { host: minted.test, app_port: 3000, deploy_timeout: 20, drain_timeout: 10, ssl: { acme: { directory: \""+directory+"\", ca: "+root+" } } }")
	}
	v1 := image(t, "minted:v1")
	o := mustShip(t, 0, "deploy", v1, "-c", file("https://"+net.JoinHostPort(address, "1")+"/dir"))
	wants(t, o.stderr, "not served by https yet", "refused")
	for _, h := range []string{"h1", "h3"} {
		if resp := front(t, h, "minted"); resp != http.StatusOK {
			t.Errorf("%s: http answers %d", h, resp)
		}
	}
	wants(t, mustShip(t, 0, "proxy", "status", "-c", file("https://"+net.JoinHostPort(address, "1")+"/dir")).stdout, "none, asks again at", "refused")
	conf := file(ca.Directory)
	o = mustShip(t, 0, "deploy", v1, "-c", conf)
	wants(t, o.stderr, "ordering a certificate")
	first := leaf(t, "h1", "minted")
	if first == nil || string(first) != string(leaf(t, "h3", "minted")) {
		t.Errorf("the hosts do not serve one certificate (%d bytes)", len(first))
	}
	for _, h := range []string{"h1", "h3"} {
		if code := front(t, h, "minted"); code != http.StatusPermanentRedirect {
			t.Errorf("%s: http answers %d", h, code)
		}
		found, err := world.lab.Host(h).Exec(t.Context(), "docker ps -aq | xargs docker inspect | grep -c 'PRIVATE KEY'; find $(docker volume inspect -f '{{.Mountpoint}}' ship-proxy) -name '*.acme' ! -perm 600; true")
		if err != nil || strings.TrimSpace(found) != "0" {
			t.Errorf("%s: keys lie about: %q, %v", h, found, err)
		}
	}
	wants(t, mustShip(t, 0, "proxy", "status", "-c", conf).stdout, "renewed on")
	wants(t, mustShip(t, 0, "deploy", v1, "-c", conf).stderr, "nothing to do")
	mustShip(t, 0, "deploy", image(t, "minted:v2"), "-c", conf)
	if string(first) != string(leaf(t, "h1", "minted")) {
		t.Error("another release has another certificate")
	}
}

// front is the status of a service's front page by http.
func front(t *testing.T, host, service string) int {
	t.Helper()
	resp, err := client(world.lab.Host(host)).Transport.RoundTrip(plain(t, "http://"+service+".test/"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
