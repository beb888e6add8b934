package proxy

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"ship/internal/shiptest/load"
)

// talk sends messages over a WebSocket, and wants them back, until the caller ends it.
func (g *gateway) talk() (end func()) {
	g.t.Helper()
	c, r := g.webSocket()
	_ = c.SetDeadline(time.Time{})
	quit := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for n := 0; ; n++ {
			want := fmt.Append(nil, "message ", n)
			_, _ = c.Write(frame(1, want))
			if _, got, err := readFrame(r); err != nil || !bytes.Equal(got, want) {
				g.t.Errorf("WebSocket, message %d: %q, %v", n, got, err)
				return
			}
			select {
			case <-quit:
				c.Close()
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	return sync.OnceFunc(func() { close(quit); done.Wait() })
}

// follow reads a stream of events until the caller ends it.
func (g *gateway) follow() (end func()) {
	g.t.Helper()
	resp := g.send(http.MethodGet, "/stream", nil)
	quit := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for b := make([]byte, 1<<10); ; {
			if _, err := resp.Body.Read(b); err != nil {
				g.t.Errorf("the stream: %v", err)
				return
			}
			select {
			case <-quit:
				resp.Body.Close()
				return
			default:
			}
		}
	})
	return sync.OnceFunc(func() { close(quit); done.Wait() })
}

// TestHandOverUnderLoad replaces the process again and again, with switches between.
func TestHandOverUnderLoad(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, dir)
	old := newApp(t, "v0")
	p.deploy(Service{Name: "shop"}, old.Target, 1)
	versions := []string{"v0"}
	const rounds = 12
	for n := range rounds {
		versions = append(versions, fmt.Sprint("v", n+1))
	}
	gen, err := load.Start(t.Context(), load.Options{URLs: []string{"http://" + p.addr}, PostPath: "/post", SlowPath: "/slow", Workers: 3, Pause: 2 * time.Millisecond, Versions: versions})
	if err != nil {
		t.Fatal(err)
	}
	var left []*process
	for n, v := range versions[1:] {
		if n < 3 {
			defer p.talk()()
			defer p.follow()()
		}
		next := startProcess(t, dir)
		if next.addr != p.addr {
			t.Fatalf("the successor listens on %s", next.addr)
		}
		left, p = append(left, p), next
		target := newApp(t, v)
		p.deploy(Service{Name: "shop"}, target.Target, int64(n+2))
		if n > 3 { // no socket is on it
			if d, err := p.Drain(t.Context(), "shop", old.ID, 10*time.Second); err != nil || d.InFlight != 0 {
				t.Errorf("drain: %+v, %v", d, err)
			}
			old.Close() // also for those that the proxies of before have left
		}
		old = target
		eventually(t, "the load meets "+v, func() bool { return target.requests.Load() >= 30 })
	}
	st, err := p.Status(t.Context())
	if err != nil || len(st.Rests) == 0 {
		t.Errorf("%+v, %v", st, err)
	}
	r := gen.Stop()
	t.Log(r)
	if r.Failed != 0 || r.Total < 500 {
		t.Error(r)
	}
	for _, q := range left[3:] { // nothing keeps them
		q.ends(10 * time.Second)
	}
}
