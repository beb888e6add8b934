package load

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// TestSocket: a proper end is no failure and is told, a broken one is.
func TestSocket(t *testing.T) {
	var broken, wrong atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" { // of another kind
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Version: v1\r\n\r\n")
		for n := 0; rw.Flush() == nil; n++ {
			var head [6]byte
			if _, err := io.ReadFull(rw, head[:]); err != nil {
				return
			}
			b := make([]byte, head[1]&127)
			if _, err := io.ReadFull(rw, b); err != nil {
				return
			}
			for i := range b {
				b[i] ^= head[2+i%4]
			}
			switch {
			case n == 5 && broken.Load():
				return
			case n == 5 && wrong.Load():
				b[0]++
			case n == 5:
				_, _ = rw.Write([]byte{0x88, 2, 1001 >> 8, 1001 & 255})
				_ = rw.Flush()
				return
			}
			_, _ = rw.Write(append([]byte{0x81, byte(len(b))}, b...))
		}
	}))
	defer s.Close()
	run := func() Report {
		g, err := Start(t.Context(), Options{URLs: []string{s.URL}, SocketPath: "/ws", Path: "/ws", Pause: time.Microsecond, MaxRequests: 600})
		if err != nil {
			t.Fatal(err)
		}
		return g.Wait()
	}
	r := run()
	if n := r.Kinds[Socket]; n < 60 || len(r.Sockets) < n/6-1 || r.Sockets[0].Code != 1001 || r.Sockets[0].Version != "v1" {
		t.Errorf("%+v", r)
	}
	failed := func(r Report) (classes []Class) {
		for _, f := range r.First {
			if f.Kind == Socket {
				classes = append(classes, f.Class)
			}
		}
		return classes
	}
	if c := failed(r); len(c) > 0 {
		t.Error(r)
	}
	broken.Store(true)
	if c := failed(run()); !slices.Contains(c, Closed) {
		t.Errorf("broken off: %q", c)
	}
	broken.Store(false)
	wrong.Store(true)
	if c := failed(run()); !slices.Contains(c, Body) {
		t.Errorf("another message: %q", c)
	}
}

func TestHTTP2(t *testing.T) {
	var status, conns atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Version", "v1")
		w.WriteHeader(int(status.Load()))
		if r.Host != "shop.example" {
			t.Errorf("host %s", r.Host)
		}
	}))
	s.EnableHTTP2 = true
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.StartTLS()
	defer s.Close()
	for _, code := range []int64{200, 500} {
		status.Store(code)
		conns.Store(0)
		g, err := Start(t.Context(), Options{URLs: []string{s.URL}, Host: "shop.example", Workers: 4, Pause: time.Microsecond, MaxRequests: 200})
		if err != nil {
			t.Fatal(err)
		}
		r := g.Wait()
		if want := map[int64]int{200: 0, 500: 200}[code]; r.Total != 200 || r.Failed != want || r.Kinds[HTTP2] != 200 || conns.Load() > 20 { // each worker may dial at first
			t.Errorf("%d: %v, %d connections", code, r, conns.Load())
		}
	}
	plain := httptest.NewTLSServer(http.NotFoundHandler()) // HTTP/1.1 only
	defer plain.Close()
	g, err := Start(t.Context(), Options{URLs: []string{plain.URL}, Pause: time.Microsecond, MaxRequests: 3})
	if err != nil {
		t.Fatal(err)
	}
	if r := g.Wait(); r.Failed != 3 {
		t.Error(r)
	}
}
