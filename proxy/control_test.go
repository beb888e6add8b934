package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestCallerGone ends the connection of a caller that waits for health: nothing must come of it later.
func TestCallerGone(t *testing.T) {
	g, old, next := start(t), newApp(t, "v1"), newApp(t, "v2")
	g.deploy(Service{Name: "a"}, old.Target, 1)
	next.sick.Store(true)
	body := fmt.Sprintf(`{"service":{"name":"a","path_prefix":"/","health":{"path":"/up"}},"target":{"id":"x","address":%q},"generation":2,"timeout_ns":60000000000}`, next.Address)
	conn, err := net.Dial("unix", g.socket)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /v1/prepare HTTP/1.1\r\nHost: p\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	lines := bufio.NewScanner(resp.Body)
	for n := 0; n < 3 && lines.Scan(); n++ {
	}
	conn.Close()
	time.Sleep(300 * time.Millisecond)
	next.sick.Store(false)
	seen := next.requests.Load()
	time.Sleep(1500 * time.Millisecond)
	if _, b := g.get("/"); b != "v1" {
		t.Errorf("serves %q", b)
	}
	st, err := g.Status(t.Context())
	if err != nil || st.Services[0].Generation != 1 || next.requests.Load() != seen {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestCancelledClient(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	a.sick.Store(true)
	why := errors.New("lease lost")
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err := g.Prepare(ctx, PrepareRequest{Service: Service{Name: "a"}, Target: a.Target, Timeout: time.Minute}, func(Attempt) { cancel(why) })
	if !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
	if _, err := g.Status(ctx); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}

func TestStale(t *testing.T) {
	g, one, two := start(t), newApp(t, "v1"), newApp(t, "v2")
	svc := Service{Name: "a"}
	slow, err := g.Prepare(t.Context(), PrepareRequest{Service: svc, Target: one.Target, Generation: 6, Timeout: time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	g.deploy(svc, two.Target, 7)
	check := func(what string, err error) {
		t.Helper()
		var stale *StaleError
		if !errors.As(err, &stale) || *stale != (StaleError{"a", 6, 7}) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = g.Commit(t.Context(), "a", slow, 6)
	check("commit", err)
	_, err = g.Prepare(t.Context(), PrepareRequest{Service: svc, Target: one.Target, Generation: 6, Timeout: time.Second}, nil)
	check("prepare", err)
	check("undo", g.Undo(t.Context(), "a", 6))
	check("remove", g.Remove(t.Context(), "a", 6))
	if _, b := g.get("/"); b != "v2" {
		t.Errorf("serves %q", b)
	}
}

// TestOvertakenWhileWaiting: a prepare that began in time is too late when its target is healthy.
func TestOvertakenWhileWaiting(t *testing.T) {
	g, one, two := start(t), newApp(t, "v1"), newApp(t, "v2")
	one.sick.Store(true)
	answer := make(chan error, 1)
	waits := make(chan struct{})
	var once sync.Once
	go func() {
		_, err := g.Prepare(t.Context(), PrepareRequest{Service: Service{Name: "a"}, Target: one.Target, Generation: 1, Timeout: 5 * time.Second}, func(Attempt) { once.Do(func() { close(waits) }) })
		answer <- err
	}()
	<-waits
	g.deploy(Service{Name: "a"}, two.Target, 2)
	one.sick.Store(false)
	var stale *StaleError
	if err := <-answer; !errors.As(err, &stale) {
		t.Errorf("%v", err)
	}
}

func TestTokens(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	prepare := func() string {
		token, err := g.Prepare(t.Context(), PrepareRequest{Service: Service{Name: "a"}, Target: a.Target, Generation: 1, Timeout: time.Second}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	first := prepare()
	for range maxPrepared { // runs that crashed must not lock out the next one
		prepare()
	}
	last := prepare()
	var refused *refusedError
	for what, call := range map[string]struct {
		service, token string
		generation     int64
	}{"none": {"a", "", 1}, "pushed out": {"a", first, 1}, "other service": {"b", last, 1}, "other run": {"a", last, 2}} {
		if _, err := g.Commit(t.Context(), call.service, call.token, call.generation); !errors.As(err, &refused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := g.Commit(t.Context(), "a", last, 1); err != nil {
		t.Error(err)
	}
	if _, err := g.Commit(t.Context(), "a", last, 1); !errors.As(err, &refused) {
		t.Errorf("used twice: %v", err)
	}
}

func TestTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &manager{ttl: prepareTTL, services: map[string]*service{}}
		s := m.get("a")
		s.prepared["t"] = &prepared{generation: 1, expires: time.Now().Add(m.ttl)}
		time.Sleep(prepareTTL - time.Second)
		if _, err := m.committable("a", "t", 1); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		var refused *refusedError
		if _, err := m.committable("a", "t", 1); !errors.As(err, &refused) {
			t.Errorf("expired: %v", err)
		}
	})
}

// TestConcurrentRuns deploys one service, and others, all at once: the newest generation is what serves.
func TestConcurrentRuns(t *testing.T) {
	g := start(t)
	var runs sync.WaitGroup
	targets := make([]*app, 4)
	for n := range targets {
		targets[n] = newApp(t, fmt.Sprint("v", n))
	}
	for n, a := range targets {
		for _, service := range []string{"same", fmt.Sprint("own-", n)} {
			runs.Go(func() {
				c := g.client()
				defer c.Close()
				svc := Service{Name: service, Hosts: []string{service + ".example"}}
				for gen := int64(n + 1); gen < 40; gen += int64(len(targets)) {
					token, err := c.Prepare(t.Context(), PrepareRequest{Service: svc, Target: a.Target, Generation: gen, Timeout: 5 * time.Second}, nil)
					if err == nil {
						_, err = c.Commit(t.Context(), service, token, gen)
					}
					var stale *StaleError
					if err != nil && (service != "same" || !errors.As(err, &stale)) {
						t.Errorf("%s, generation %d: %v", service, gen, err)
					}
				}
			})
		}
	}
	runs.Wait()
	g.deploy(Service{Name: "same", Hosts: []string{"same.example"}}, targets[0].Target, 40)
	for n := range targets {
		if _, b := g.get("/", "Host", fmt.Sprintf("own-%d.example", n)); b != fmt.Sprint("v", n) {
			t.Errorf("own-%d serves %q", n, b)
		}
	}
	if _, b := g.get("/", "Host", "same.example"); b != "v0" {
		t.Errorf("serves %q", b)
	}
}

func TestConflict(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	g.deploy(Service{Name: "shop", Hosts: []string{"Shop.example", "www.shop.example"}, PathPrefix: "/api/"}, a.Target, 1)
	_, err := g.tryDeploy(Service{Name: "blog", Hosts: []string{"blog.example", "WWW.shop.example."}, PathPrefix: "api"}, a.Target, 1)
	var refused *refusedError
	if !errors.As(err, &refused) || err.Error() != "service blog wants www.shop.example/api, which service shop serves" {
		t.Errorf("%v", err)
	}
	g.deploy(Service{Name: "blog", Hosts: []string{"www.shop.example"}}, a.Target, 1)
}

func TestBadCalls(t *testing.T) {
	g := start(t)
	ask := func(method, verb, body string) (*http.Response, string) {
		t.Helper()
		conn, err := net.Dial("unix", g.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "%s /v1/%s HTTP/1.1\r\nHost: p\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", method, verb, len(body), body)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		return resp, string(b)
	}
	for _, c := range []struct {
		verb, body, want string
		status           int
	}{
		{"commit", "", "control message", 409},
		{"commit", `{"nonsense":1}`, "unknown field", 409},
		{"commit", `[]`, "control message", 409},
		{"commit", `{"service":"` + strings.Repeat("x", maxMessage) + `"}`, "more than", 409},
		{"remove", `{"service":"../../etc/passwd"}`, "want lower case letters", 409},
		{"remove", `{"service":"never-seen"}`, "{}", 200},
		{"undo", `{"service":"never-seen"}`, "{}", 200},
		{"drain", `{"service":"never-seen","target":"x"}`, `"in_flight":0`, 200},
		{"prepare", `{"service":{"name":"A"},"target":{"id":"x","address":"127.0.0.1:1"}}`, "want lower case letters", 200},
		{"prepare", `{"service":{"name":"a"},"target":{"id":"x","address":"example.org:80"}}`, "want ip:port", 200},
		{"prepare", `{"service":{"name":"a","hosts":["a b"]},"target":{"id":"x","address":"127.0.0.1:1"}}`, "is no host name", 200},
		{"prepare", `{"service":{"name":"a","health":{"path":"up"}},"target":{"id":"x","address":"127.0.0.1:1"}}`, "does not begin with /", 200},
		{"format-disk", `{}`, "404", 404},
	} {
		if resp, b := ask("POST", c.verb, c.body); resp.StatusCode != c.status || !strings.Contains(b, c.want) {
			t.Errorf("%s %.60s: %d %s", c.verb, c.body, resp.StatusCode, b)
		}
	}
}

// TestControl runs the pipe as `docker exec` would.
func TestControl(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	a.sick.Store(true)
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Control(t.Context(), g.socket, inR, outW) }()
	body := fmt.Sprintf(`{"service":{"name":"a"},"target":{"id":"x","address":%q},"timeout_ns":60000000000,"generation":1}`, a.Address)
	fmt.Fprintf(inW, "POST /v1/prepare HTTP/1.1\r\nHost: p\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	resp, err := http.ReadResponse(bufio.NewReader(outR), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := resp.Body.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, outR) }()
	inW.Close() // standard input ends with whoever asked
	if err := <-ended; err != nil {
		t.Error(err)
	}
	outW.Close()
	g.stop() // waits for the calls: this one has ended
	if err := Control(t.Context(), g.socket, strings.NewReader(""), io.Discard); err == nil {
		t.Error("there is no proxy")
	}
}

func TestControlEndsWithItsContext(t *testing.T) {
	g := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	in, w := io.Pipe()
	defer w.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = Control(ctx, g.socket, in, io.Discard)
	}()
	time.Sleep(20 * time.Millisecond)
	cancel()
	<-done
}

// TestControlHangsUp with a proxy that does: the input may never end.
func TestControlHangsUp(t *testing.T) {
	g := start(t)
	in, w := io.Pipe()
	defer w.Close()
	done := make(chan error, 1)
	go func() { done <- Control(t.Context(), g.socket, in, io.Discard) }()
	_, _ = io.WriteString(w, "nonsense\r\n\r\n")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestHostileProxy answers the client with what no proxy would.
func TestHostileProxy(t *testing.T) {
	endless := func(w http.ResponseWriter, line string) {
		for {
			if _, err := io.WriteString(w, line); err != nil {
				return
			}
		}
	}
	var serve atomic.Pointer[http.HandlerFunc]
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*serve.Load())(w, r) }))
	defer s.Close()
	c := NewClient(func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", s.Listener.Addr().String())
	})
	defer c.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"endless line": func(w http.ResponseWriter, _ *http.Request) { endless(w, strings.Repeat("x", 1<<16)) },
		"endless attempts": func(w http.ResponseWriter, _ *http.Request) {
			endless(w, `{"attempt":{"x":"`+strings.Repeat("x", 4<<10)+`"}}`+"\n")
		},
		"endless spaces": func(w http.ResponseWriter, _ *http.Request) { endless(w, strings.Repeat(" ", 1<<16)) },
		"huge number": func(w http.ResponseWriter, _ *http.Request) {
			endless(w, `{"version":"`+strings.Repeat("9", 1<<16))
		},
		"endless failure": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusConflict)
			endless(w, "[")
		},
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/v1/status", http.StatusTemporaryRedirect)
		},
		"huge header":  func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) },
		"aborts":       func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"empty object": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") },
	} {
		serve.Store(&answer)
		if token, err := c.Prepare(t.Context(), PrepareRequest{}, nil); err == nil || token != "" {
			t.Errorf("%s: prepare gave %q", name, token)
		}
		if _, err := c.Status(t.Context()); err == nil && name != "empty object" {
			t.Errorf("%s: status is believed", name)
		}
	}
	last := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"failure":{"unhealthy":{"path":"/\u001b[2J","attempts":[{"body":"\u001b]0;x\u0007\u202e"}]}}}`+"\n")
	})
	serve.Store(&last)
	if _, err := c.Prepare(t.Context(), PrepareRequest{}, nil); err == nil || strings.ContainsAny(err.Error(), "\x1b\x07\u202e") {
		t.Errorf("%q", err)
	}
}
