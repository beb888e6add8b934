package proxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMaintenance: new requests are answered for the app, whatever is deployed meanwhile; what is under way goes on.
func TestMaintenance(t *testing.T) {
	g, one, two := start(t), newApp(t, "one"), newApp(t, "two")
	g.deploy(Service{Name: "a", Hosts: []string{"a.test"}}, one.Target, 1)
	g.deploy(Service{Name: "b", Hosts: []string{"b.test"}}, one.Target, 1)
	defer g.talk2("a.test")()
	if err := g.Halt(t.Context(), "a", Halt{Kind: Maintenance, Message: "back <at> noon", RetryAfter: Duration(90500 * time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	closed := func(after string) {
		t.Helper()
		before := one.requests.Load() + two.requests.Load()
		resp, body := g.get("/", "Host", "a.test")
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "91" || !strings.Contains(body, "back &lt;at&gt; noon") {
			t.Errorf("after %s: %d %v %s", after, resp.StatusCode, resp.Header, body)
		}
		resp, body = g.get("/", "Host", "a.test", "Accept", "application/json")
		if resp.Header.Get("Content-Type") != "application/json" || resp.StatusCode != http.StatusServiceUnavailable || body != `{"error":"back \u003cat\u003e noon","status":503}`+"\n" {
			t.Errorf("after %s: %d %s", after, resp.StatusCode, body)
		}
		if n := one.requests.Load() + two.requests.Load(); n != before {
			t.Errorf("after %s: %d requests reached the app", after, n-before)
		}
	}
	closed("maintenance on")
	if resp, body := g.get("/", "Host", "b.test"); resp.StatusCode != http.StatusOK {
		t.Errorf("another service: %d %s", resp.StatusCode, body)
	}
	g.deploy(Service{Name: "a", Hosts: []string{"a.test"}}, two.Target, 2)
	closed("a deploy")
	if err := g.Undo(t.Context(), "a", 2); err != nil {
		t.Fatal(err)
	}
	closed("an undo")
	st, err := g.Status(t.Context())
	if err != nil || st.Services[0].Halt == nil || st.Services[0].Halt.Message != "back <at> noon" || time.Since(st.Services[0].Halt.Since) > time.Minute || st.Services[1].Halt != nil {
		t.Errorf("%+v, %v", st, err)
	}
	for _, want := range []bool{true, false} {
		if was, err := g.Resume(t.Context(), "a", Maintenance); was != want || err != nil {
			t.Errorf("resume: %t, %v; want %t", was, err, want)
		}
	}
	if resp, body := g.get("/", "Host", "a.test"); body != "one" {
		t.Errorf("after the end: %d %s", resp.StatusCode, body)
	}
}

// talk2 has a WebSocket with that host, which answers until the caller ends it.
func (g *gateway) talk2(host string) (end func()) {
	g.t.Helper()
	c, r := g.upgrade("GET /ws HTTP/1.1\r\nHost: " + host + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	return func() {
		_, _ = c.Write(frame(1, []byte("still there?")))
		if _, b, err := readFrame(r); err != nil || string(b) != "still there?" {
			g.t.Errorf("the WebSocket: %q, %v", b, err)
		}
		c.Close()
	}
}

func TestHaltIsChecked(t *testing.T) {
	g := start(t)
	g.deploy(Service{Name: "a"}, newApp(t, "v1").Target, 1)
	for name, h := range map[string]Halt{
		"no such kind":    {Kind: "siesta"},
		"a long message":  {Kind: Maintenance, Message: strings.Repeat("x", maxHaltMessage+1)},
		"before now":      {Kind: Maintenance, RetryAfter: -1},
		"a long way off":  {Kind: Maintenance, RetryAfter: Duration(maxRetryAfter + 1)},
		"of no such name": {Kind: Maintenance},
	} {
		service := "a"
		if strings.HasPrefix(name, "of") {
			service = "b"
		}
		var refused *refusedError
		if err := g.Halt(t.Context(), service, h); !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if resp, _ := g.get("/"); resp.StatusCode != http.StatusOK {
		t.Errorf("what was refused counts: %d", resp.StatusCode)
	}
}

// TestMaintenanceStays: through kill -9, a hand-over, and for the connections that are left to the proxy of before.
func TestMaintenanceStays(t *testing.T) {
	dir, a := t.TempDir(), newApp(t, "v1")
	p := startProcess(t, dir)
	p.deploy(Service{Name: "a"}, a.Target, 1)
	if err := p.Halt(t.Context(), "a", Halt{Kind: Maintenance}); err != nil {
		t.Fatal(err)
	}
	p.kill()
	p = startProcess(t, dir)
	c := p.dial()
	r := bufio.NewReader(c)
	ask := func(want int) {
		t.Helper()
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("%v, %v; want %d", resp, err, want)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
	}
	ask(http.StatusServiceUnavailable)
	next := startProcess(t, dir) // the connection stays with the one before
	if resp, _ := next.get("/"); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after a hand-over: %d", resp.StatusCode)
	}
	if was, err := next.Resume(t.Context(), "a", Maintenance); !was || err != nil {
		t.Fatal(was, err)
	}
	ask(http.StatusOK)
	if resp, _ := next.get("/"); resp.StatusCode != http.StatusOK {
		t.Errorf("after its end: %d", resp.StatusCode)
	}
}

// TestOldProxy: a proxy that has no such call is told from one that refuses.
func TestOldProxy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	defer func() { s.Close(); <-done }()
	c := unixClient(path)
	defer c.Close()
	var old *OldProxyError
	if err := c.Halt(t.Context(), "a", Halt{Kind: Maintenance}); !errors.As(err, &old) {
		t.Error(err)
	}
}

// TestOlderProxyThanItsController: what it cannot read is named, with what helps.
func TestOlderProxyThanItsController(t *testing.T) {
	g := start(t)
	for _, verb := range []string{"prepare", "commit"} {
		err := g.Client.do(t.Context(), http.MethodPost, verb, map[string]any{"service": nil, "newer": 1}, nil)
		var old *OldProxyError
		if !errors.As(err, &old) || !strings.Contains(old.Error(), "setting newer") || !strings.Contains(old.Hint(), "upgrade") {
			t.Errorf("%s: %v", verb, err)
		}
	}
}
