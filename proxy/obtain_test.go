package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ship/internal/shiptest/pebble"
	"ship/proxy/acme"
)

// validFor tells whether what is shown for a name is for it.
func validFor(t testing.TB, addr, name string) bool {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{ServerName: name, InsecureSkipVerify: true}} // nobody knows the test's authority
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return false
	}
	defer c.Close()
	leaf := c.(*tls.Conn).ConnectionState().PeerCertificates[0]
	return leaf.VerifyHostname(name) == nil
}

// TestNamesChange: the names of the release that serves keep their certificate until the cutover, and for an undo; after a
// rollback to names that no certificate is for, one is ordered.
func TestNamesChange(t *testing.T) {
	asked := freePort(t)
	ca := pebble.Start(t, pebble.Options{HTTPPort: portOf(t, asked)})
	shop := func(hosts ...string) Service { return Service{Name: "shop", Hosts: hosts, TLS: &TLS{Auto: true}} }
	g, https := startAuto(t, asked, shop("old.test"))
	e := enrolment(t, ca, "old.test")
	enrolled := func(generation int64, hosts ...string) {
		t.Helper()
		e.Hosts = hosts
		if err := g.Enrol(t.Context(), "shop", e, generation); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Obtain(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
	}
	shown := func(when string, names ...string) {
		t.Helper()
		for _, name := range names {
			if !validFor(t, https, name) {
				t.Errorf("%s: what is shown for %s is not for it", when, name)
			}
		}
		if st := g.active1("shop"); st.ACME == nil || st.ACME.Error != "" || st.TLSCert.Check(names, time.Now()) != nil || time.Until(st.ACME.Next) < 24*time.Hour {
			t.Errorf("%s: %+v %+v", when, st.ACME, st.TLSCert)
		}
	}
	enrolled(1, "old.test")
	shown("at first", "old.test")
	enrolled(2, "new.test", "www.new.test")
	shown("before the cutover", "old.test")
	app := newApp(t, "v2").Target
	g.deploy(shop("new.test", "www.new.test"), app, 2)
	shown("after the cutover", "new.test", "www.new.test")
	if err := g.Undo(t.Context(), "shop", 2); err != nil {
		t.Fatal(err)
	}
	shown("after the undo", "old.test")
	g.deploy(shop("new.test", "www.new.test"), app, 3)
	dir := g.dir
	g.stop()
	g = start(t, func(o *Options) {
		o.HTTPAddr, o.HTTPSAddr, o.StateDir, o.RenewEvery = asked, https, dir, 50*time.Millisecond
	})
	shown("after a restart", "new.test", "www.new.test")
	if err := g.Undo(t.Context(), "shop", 3); err != nil {
		t.Fatal(err)
	}
	shown("after a restart and an undo", "old.test")
	g.deploy(shop("older.test"), newApp(t, "v0").Target, 4) // a rollback enrols nothing
	eventuallyIn(t, time.Minute, "what came back is certified", func() bool { return validFor(t, https, "older.test") })
	if err := g.Remove(t.Context(), "shop", 5); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "shop.[afp]*")) // .acme, .former, .pair
	if err != nil || len(left) > 0 {
		t.Errorf("after the removal: %v %v", left, err)
	}
}

// TestOwnNamesChange: the same with a certificate of one's own.
func TestOwnNamesChange(t *testing.T) {
	g, https := startTLS(t)
	old := Service{Name: "shop", Hosts: []string{"old.test"}, TLS: &TLS{}}
	certify := func(generation int64, hosts ...string) {
		t.Helper()
		if _, err := g.Certify(t.Context(), "shop", newPair(t, hosts...), generation); err != nil {
			t.Fatal(err)
		}
	}
	certify(1, "old.test")
	g.deploy(old, newApp(t, "v1").Target, 1)
	certify(2, "new.test")
	if !validFor(t, https, "old.test") {
		t.Error("before the cutover the old name lost its certificate")
	}
	renamed := old
	renamed.Hosts = []string{"new.test"}
	g.deploy(renamed, newApp(t, "v2").Target, 2)
	certify(2, "new.test") // replaced meanwhile
	if err := g.Undo(t.Context(), "shop", 2); err != nil {
		t.Fatal(err)
	}
	if !validFor(t, https, "old.test") {
		t.Error("after the undo it has none")
	}
	g.deploy(old, newApp(t, "v3").Target, 3)
	g.deploy(old, newApp(t, "v4").Target, 4)
	certify(4, "old.test", "www.old.test")
	if _, err := os.Stat(filepath.Join(g.dir, "shop"+formerSuffix)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a certificate that nothing needs stays: %v", err)
	}
}

// TestFailuresAreKept: neither a deploy of the same nor a restart makes the proxy ask an authority more often.
func TestFailuresAreKept(t *testing.T) {
	g := start(t, func(o *Options) { o.HTTPSAddr, o.RenewEvery = "127.0.0.1:0", time.Hour })
	g.deploy(Service{Name: "shop", Hosts: []string{"shop.test"}, TLS: &TLS{Auto: true, KeepHTTP: true}}, newApp(t, "v1").Target, 1)
	key, err := acme.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	e := acme.Enrolment{Hosts: []string{"shop.test"}, Key: key, Directory: "https://" + freeAddress(t) + "/"}
	enrol := func(e acme.Enrolment) ACMEStatus {
		t.Helper()
		if err := g.Enrol(t.Context(), "shop", e, 1); err != nil {
			t.Fatal(err)
		}
		return *g.active1("shop").ACME
	}
	if st := enrol(e); time.Until(st.Next) < time.Hour-time.Minute { // whoever enrols orders; by itself the proxy waits
		t.Errorf("at first: %+v", st)
	}
	for range 4 {
		if _, err := g.Obtain(t.Context(), "shop"); err == nil {
			t.Fatal("nobody issued a certificate")
		}
	}
	failed := *g.active1("shop").ACME
	if wait := time.Until(failed.Next); failed.Error == "" || wait < 7*time.Minute || wait > 8*time.Minute {
		t.Errorf("after four failures: %+v", failed)
	}
	if st := enrol(e); st != failed {
		t.Errorf("after the same enrolment: %+v, was %+v", st, failed)
	}
	dir := g.dir
	g.stop()
	g = start(t, func(o *Options) { o.StateDir, o.HTTPSAddr, o.RenewEvery = dir, "127.0.0.1:0", time.Hour })
	if st := *g.active1("shop").ACME; !st.Next.Equal(failed.Next) {
		t.Errorf("after a restart: %+v, was %+v", st, failed)
	}
	e.Email = "ann@shop.test"
	if st := enrol(e); st.Error != "" || st.Next.Equal(failed.Next) {
		t.Errorf("another enrolment: %+v", st)
	}
}

// TestOrderEndsAtHandOver: the successor orders for itself.
func TestOrderEndsAtHandOver(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // an authority that says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	gone := make(chan error, 1)
	begun := make(chan struct{})
	go func() {
		c, err := l.Accept()
		if err != nil {
			gone <- err
			return
		}
		defer c.Close()
		close(begun)
		_, err = io.Copy(io.Discard, c)
		gone <- err
	}()
	g := start(t, func(o *Options) { o.HTTPSAddr, o.RenewEvery = "127.0.0.1:0", 10*time.Millisecond })
	g.deploy(Service{Name: "shop", Hosts: []string{"shop.test"}, TLS: &TLS{Auto: true, KeepHTTP: true}}, newApp(t, "v1").Target, 1)
	key, err := acme.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Enrol(t.Context(), "shop", acme.Enrolment{Hosts: []string{"shop.test"}, Key: key, Directory: "https://" + l.Addr().String() + "/"}, 1); err != nil {
		t.Fatal(err)
	}
	<-begun
	start(t, func(o *Options) {
		o.HTTPAddr, o.HTTPSAddr, o.Socket, o.StateDir, o.RenewEvery = "127.0.0.1:0", "127.0.0.1:0", g.socket, g.dir, time.Hour
	})
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second) // an order may take three minutes
	defer stop()
	select {
	case err := <-gone:
		if err != nil {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Error("the order goes on")
	}
}
