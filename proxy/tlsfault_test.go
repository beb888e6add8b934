package proxy

import (
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"
)

// askOn asks by https again and again, on new connections and on one that stays open, until the caller ends it.
func askOn(t *testing.T, addr string, pair KeyPair, http2 bool) (end func() (asked int)) {
	quit := make(chan struct{})
	var done sync.WaitGroup
	n := 0
	done.Go(func() {
		for kept := browser(t, addr, http2, pair); ; n++ {
			c := kept
			if n%2 == 0 {
				c = browser(t, addr, http2, pair)
			}
			resp, err := c.Do(request(t, http.MethodGet, "https://shop.example/", nil))
			if err != nil {
				t.Errorf("request %d: %v", n, err)
				return
			}
			if resp.StatusCode != 200 {
				t.Errorf("request %d: %d", n, resp.StatusCode)
			}
			resp.Body.Close()
			if n%2 == 0 {
				c.CloseIdleConnections()
			}
			select {
			case <-quit:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	return func() int { close(quit); done.Wait(); return n }
}

// TestHandOverOfHTTPS replaces the process again and again: nobody who comes by https notices.
func TestHandOverOfHTTPS(t *testing.T) {
	dir, addr, pair := t.TempDir(), freePort(t), newPair(t, "shop.example")
	a := newApp(t, "v1")
	p := startProcess(t, dir, "HTTPS="+addr)
	p.certify("shop", pair)
	p.deploy(Service{Name: "shop", Hosts: []string{"shop.example"}, TLS: &TLS{}}, a.Target, 1)
	one, two := askOn(t, addr, pair, false), askOn(t, addr, pair, true)
	var left []*process
	for range 5 {
		next := startProcess(t, dir, "HTTPS="+addr)
		left, p = append(left, p), next
		before := a.requests.Load()
		eventually(t, "requests go on", func() bool { return a.requests.Load() >= before+10 })
	}
	if n, m := one(), two(); n < 20 || m < 20 {
		t.Errorf("%d and %d requests", n, m)
	}
	for _, q := range left {
		q.ends(10 * time.Second)
	}
}

// TestKillWithHTTPS: the master holds the socket of https too, also one that was opened while the proxy ran.
func TestKillWithHTTPS(t *testing.T) {
	addr, pair := freePort(t), newPair(t, "shop.example")
	a := newApp(t, "v1")
	p := startProcess(t, t.TempDir(), "ROLE=master", "HTTPS="+addr)
	p.certify("shop", pair)
	p.deploy(Service{Name: "shop", Hosts: []string{"shop.example"}, TLS: &TLS{}}, a.Target, 1)
	pid := p.worker()
	for range 3 {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		// The connection is made while no worker is there, and answered by the next one.
		resp, b := read(t, browser(t, addr, true, pair), request(t, http.MethodGet, "https://shop.example/", nil))
		if resp.StatusCode != 200 || b != "v1" {
			t.Errorf("%d %s", resp.StatusCode, b)
		}
		pid = p.another(pid)
	}
}
