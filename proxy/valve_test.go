package proxy

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestPause: what comes waits, goes on together, and meets the release that was deployed meanwhile, whose predecessor
// drains without waiting for it.
func TestPause(t *testing.T) {
	g, one, two := start(t), newApp(t, "one"), newApp(t, "two")
	g.deploy(Service{Name: "a"}, one.Target, 1)
	if err := g.Halt(t.Context(), "a", Halt{Kind: Pause}); err != nil {
		t.Fatal(err)
	}
	const n = 20
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			resp, err := g.roundTrip(http.MethodPost, "/post", strings.NewReader("abc"))
			if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("X-Version") != "two" {
				t.Errorf("%v, %v", resp, err)
			}
		})
	}
	eventually(t, "all wait", func() bool { return g.held() == n })
	gone := g.dial()
	_, _ = io.WriteString(gone, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	eventually(t, "one more waits", func() bool { return g.held() == n+1 })
	gone.Close()
	eventually(t, "a client that is gone is let go", func() bool { return g.held() == n })
	g.deploy(Service{Name: "a"}, two.Target, 2)
	if d, err := g.Drain(t.Context(), "a", one.ID, 5*time.Second); err != nil || d.InFlight != 0 {
		t.Errorf("drain: %+v, %v", d, err)
	}
	if got := g.held(); got != n || one.requests.Load()+two.requests.Load() != 0 {
		t.Errorf("%d wait after a deploy, %d + %d reached an app", got, one.requests.Load(), two.requests.Load())
	}
	if was, err := g.Resume(t.Context(), "a", Maintenance); was || err != nil {
		t.Errorf("the end of a maintenance ends a pause: %t, %v", was, err)
	}
	if was, err := g.Resume(t.Context(), "a", Pause); !was || err != nil {
		t.Errorf("resume: %t, %v", was, err)
	}
	wg.Wait()
	if resp, _ := g.get("/"); resp.StatusCode != http.StatusOK || g.held() != 0 {
		t.Errorf("%d, and %d wait", resp.StatusCode, g.held())
	}
}

// held is how many requests the first service's pause holds.
func (g *gateway) held() int {
	g.t.Helper()
	st, err := g.Status(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	return st.Services[0].Held
}

// TestPauseEnds: by itself, with 503 for those that wait; and maintenance takes its place, not the other way round.
func TestPauseEnds(t *testing.T) {
	g := start(t)
	g.deploy(Service{Name: "a"}, newApp(t, "v1").Target, 1)
	if err := g.Halt(t.Context(), "a", Halt{Kind: Pause, For: Duration(200 * time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	if resp, body := g.get("/"); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	if resp, body := g.get("/"); resp.StatusCode != http.StatusOK {
		t.Errorf("after it: %d %s", resp.StatusCode, body)
	}
	if st, err := g.Status(t.Context()); err != nil || st.Services[0].Halt != nil {
		t.Errorf("status: %+v, %v", st, err)
	}
	for _, h := range []Halt{{Kind: Pause}, {Kind: Maintenance, Message: "longer"}} {
		if err := g.Halt(t.Context(), "a", h); err != nil {
			t.Fatal(err)
		}
	}
	if resp, body := g.get("/"); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "longer") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	var refused *refusedError
	if err := g.Halt(t.Context(), "a", Halt{Kind: Pause}); !errors.As(err, &refused) {
		t.Errorf("a pause in maintenance: %v", err)
	}
}

// TestPauseIsBounded: more than so many do not wait.
func TestPauseIsBounded(t *testing.T) {
	g := newGate(newAccessLog(nil, 0))
	v := &valve{}
	v.set(&Halt{Kind: Pause, Until: time.Now().Add(time.Minute)})
	v.held.Store(maxPaused)
	x := &exchange{service: &live{valve: v}, target: &upstream{}}
	w := &answerOnly{header: http.Header{}}
	if g.open(w, &http.Request{Header: http.Header{}}, x) || w.status != http.StatusServiceUnavailable || w.header.Get("Retry-After") != "60" {
		t.Errorf("%+v", w)
	}
	if n := v.held.Load(); n != maxPaused {
		t.Errorf("%d", n)
	}
}

type answerOnly struct {
	header http.Header
	status int
}

func (w *answerOnly) Header() http.Header         { return w.header }
func (w *answerOnly) WriteHeader(status int)      { w.status = status }
func (w *answerOnly) Write(p []byte) (int, error) { return len(p), nil }

// TestPauseStays: requests wait through a hand-over, in both proxies, and a proxy that was killed comes back paused.
func TestPauseStays(t *testing.T) {
	dir, a := t.TempDir(), newApp(t, "v1")
	p := startProcess(t, dir)
	p.deploy(Service{Name: "a"}, a.Target, 1)
	if err := p.Halt(t.Context(), "a", Halt{Kind: Pause}); err != nil {
		t.Fatal(err)
	}
	p.kill()
	p = startProcess(t, dir)
	var wg sync.WaitGroup
	ask := func(g *gateway) {
		last := time.Time{}
		eventually(t, "it waits", func() bool {
			// One that comes just at a hand-over may be the predecessor's still: it waits there.
			if time.Since(last) > time.Second {
				last = time.Now()
				wg.Go(func() {
					if resp, err := g.roundTrip(http.MethodGet, "/", nil); err != nil || resp.StatusCode != http.StatusOK {
						t.Errorf("%v, %v", resp, err)
					}
				})
			}
			return g.held() >= 1
		})
	}
	ask(p.gateway)
	next := startProcess(t, dir)
	ask(next.gateway)
	if was, err := next.Resume(t.Context(), "a", Pause); !was || err != nil {
		t.Fatal(was, err)
	}
	wg.Wait()
}
