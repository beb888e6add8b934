package load

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ship/internal/shiptest/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }

func TestHealthyService(t *testing.T) {
	var version atomic.Value
	version.Store("v1")
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Version", version.Load().(string))
		if r.Host != "shop.example" || !strings.HasPrefix(r.RemoteAddr, "127.0.0.2:") {
			w.WriteHeader(http.StatusMisdirectedRequest)
		}
	})
	mux.HandleFunc("POST /post", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Version", version.Load().(string))
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d %x\n", len(b), sha256.Sum256(b))
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Version", version.Load().(string)) // that of the start: in flight over the change
		time.Sleep(50 * time.Millisecond)
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	g, err := Start(t.Context(), Options{
		URLs: []string{s.URL}, Host: "shop.example", From: netip.MustParseAddr("127.0.0.2"), PostPath: "/post", SlowPath: "/slow", Pause: time.Millisecond,
		Versions: []string{"v1", "v2", "v1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, next := range []string{"v2", "v1"} {
		for had := g.Total(); g.Total() < had+100; time.Sleep(time.Millisecond) {
		}
		version.Store(next)
	}
	for had := g.Total(); g.Total() < had+100; time.Sleep(time.Millisecond) {
	}
	r := g.Stop()
	if r.Failed != 0 || r.Total < 300 || r.Versions["v1"] == 0 || r.Versions["v2"] == 0 || r.P50 == 0 || r.P99 < r.P50 || r.Max < r.P99 {
		t.Error(r)
	}
	if got := r.Sequence[s.URL]; !slices.Equal(got, []string{"v1", "v2", "v1"}) {
		t.Errorf("versions: %q", got)
	}
}

func TestBounds(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	g, err := Start(t.Context(), Options{URLs: []string{s.URL}, Pause: time.Microsecond, MaxRequests: 50})
	if err != nil {
		t.Fatal(err)
	}
	if r := g.Wait(); r.Total != 50 {
		t.Errorf("want 50 requests: %v", r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	g, err = Start(ctx, Options{URLs: []string{s.URL}})
	if err != nil {
		t.Fatal(err)
	}
	if r := g.Wait(); r.Failed != 0 || r.Total == 0 {
		t.Errorf("the end of the context is no failure: %v", r)
	}
	for _, u := range []string{"ftp://x", "x:80", "http://"} {
		if _, err := Start(t.Context(), Options{URLs: []string{u}}); err == nil {
			t.Errorf("%q is let pass", u)
		}
	}
}

// TestFailures has one server for each way to fail.
func TestFailures(t *testing.T) {
	say := func(answer string) func(net.Conn) {
		return func(c net.Conn) {
			req, err := http.ReadRequest(bufio.NewReader(c))
			if err == nil {
				_, _ = io.Copy(io.Discard, req.Body)
			}
			_, _ = io.WriteString(c, answer)
		}
	}
	for _, c := range []struct {
		want  Class
		serve func(net.Conn)
	}{
		{Refused, nil},
		{Reset, func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }},
		{Closed, say("")},
		{Timeout, func(c net.Conn) { time.Sleep(300 * time.Millisecond) }},
		{Status, say("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")},
		{Short, say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort")},
		{Short, say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n")},
		{Body, say("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n3 " + strings.Repeat("0", 64))},
		{Order, say("HTTP/1.1 200 OK\r\nX-Version: v9\r\nContent-Length: 0\r\n\r\n")},
		{Other, say("SSH-2.0-OpenSSH\r\n")},
	} {
		t.Run(string(c.want), func(t *testing.T) {
			o := Options{URLs: []string{"http://" + listen(t, c.serve)}, Timeout: 200 * time.Millisecond, MaxRequests: 4, Versions: []string{"v1"}}
			if c.want == Body {
				o.PostPath = "/post"
			}
			g, err := Start(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			r := g.Wait()
			if r.Classes[c.want] == 0 || c.want != Body && r.Classes[c.want] != r.Total {
				t.Errorf("want %s: %v", c.want, r)
			}
		})
	}
}

// listen accepts connections and lets serve have each before it closes it. Without serve nobody listens.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if serve == nil {
		l.Close()
		return l.Addr().String()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// TestNoRetry holds the generator to its promise: what a kept connection loses is counted, not sent again.
func TestNoRetry(t *testing.T) {
	var asked atomic.Int64
	addr := listen(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for n := range 2 {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			asked.Add(1)
			if n == 0 && req.Header.Get("Connection") == "" {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		}
	})
	c := &client{target: &target{name: addr, address: addr, host: "x"}, timeout: time.Second}
	defer c.close()
	if _, err := c.do("GET", "/", 0, false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.do("GET", "/", 0, false); !errors.Is(err, io.EOF) || classify(err) != Closed {
		t.Errorf("the second request on the connection: %v", err)
	}
	if asked.Load() != 2 {
		t.Errorf("%d requests arrived, want 2", asked.Load())
	}
}

func TestIdleCloseIsNoFailure(t *testing.T) {
	addr := listen(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	c := &client{target: &target{name: addr, address: addr, host: "x"}, timeout: time.Second}
	defer c.close()
	for n := range 3 {
		a, err := c.do("GET", "/", 0, false)
		if err != nil || n > 0 && a.idle != 1 {
			t.Errorf("request %d: %+v, %v", n, a, err)
		}
		time.Sleep(50 * time.Millisecond) // the FIN arrives
	}
}

func TestFollow(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond) }
	for _, c := range []struct {
		name    string
		answers []struct {
			begin, end int
			version    string
		}
		want []string
		bad  int
	}{
		{"in flight over a change", []struct {
			begin, end int
			version    string
		}{{0, 1, "v1"}, {2, 3, "v2"}, {1, 9, "v1"}}, []string{"v1", "v2"}, 0},
		{"back to the old one", []struct {
			begin, end int
			version    string
		}{{0, 1, "v1"}, {2, 3, "v2"}, {4, 5, "v1"}}, []string{"v1", "v2"}, 1},
	} {
		r := newRecord([]string{"v1", "v2"})
		for _, a := range c.answers {
			r.add("u", KeepAlive, at(a.begin), at(a.end), answer{version: a.version}, nil)
		}
		if got := r.report(); !slices.Equal(got.Sequence["u"], c.want) || got.Classes[Order] != c.bad {
			t.Errorf("%s: %q, %v", c.name, got.Sequence["u"], got)
		}
	}
}
