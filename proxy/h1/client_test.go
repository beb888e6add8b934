package h1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// target answers on loopback with what it is told: one text a request, on each connection from the beginning.
type target struct {
	net.Listener
	conns atomic.Int64
	heads chan string // of requests as they came
}

// newTarget serves answers: the n-th request of a connection gets answers[n]; after the last one the connection ends.
func newTarget(t *testing.T, answers ...string) *target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tg := &target{Listener: l, heads: make(chan string, 100)}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tg.conns.Add(1)
			go tg.serve(c, answers)
		}
	}()
	return tg
}

func (tg *target) serve(c net.Conn, answers []string) {
	defer c.Close()
	in := bufio.NewReader(c)
	for _, a := range answers {
		var head strings.Builder
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			head.WriteString(line)
			if line == "\r\n" {
				break
			}
		}
		tg.heads <- head.String()
		if _, err := io.WriteString(c, a); err != nil {
			return
		}
	}
}

func (tg *target) client(t *testing.T) *Client {
	t.Helper()
	c := &Client{
		Dial: func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", tg.Addr().String())
		},
		ResponseTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxIdle: 8, MaxHead: 64 << 10,
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func request(t *testing.T, method, path string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://app.test"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// get returns what came, or the error.
func get(c *Client, r *http.Request) (*http.Response, string, error) {
	resp, err := c.RoundTrip(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello"

func TestOneConnectionForMany(t *testing.T) {
	tg := newTarget(t, hello, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
		"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nEtag: x\r\n\r\n", hello)
	c := tg.client(t)
	for i, want := range []string{"hello", "abcde", "", "", "hello"} {
		if _, b, err := get(c, request(t, "GET", "/")); err != nil || b != want {
			t.Errorf("%d: %q, %v", i, b, err)
		}
	}
	if n := tg.conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestHeadHasNoBody(t *testing.T) {
	tg := newTarget(t, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", hello)
	c := tg.client(t)
	resp, b, err := get(c, request(t, "HEAD", "/"))
	if err != nil || b != "" || resp.ContentLength != 5 {
		t.Errorf("%v %q %v", resp, b, err)
	}
	if _, b, err := get(c, request(t, "GET", "/")); err != nil || b != "hello" {
		t.Errorf("%q, %v", b, err)
	}
	if n := tg.conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestNotKept: the answers after which a connection has no next one.
func TestNotKept(t *testing.T) {
	for name, answer := range map[string]string{
		"close":             "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.0":          "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"no length":         "HTTP/1.1 200 OK\r\n\r\nhello",
		"length and chunks": "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"more than it said": hello + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
	} {
		t.Run(name, func(t *testing.T) {
			tg := newTarget(t, answer)
			c := tg.client(t)
			for range 3 {
				resp, b, err := get(c, request(t, "GET", "/"))
				if err != nil || b != "hello" {
					t.Fatalf("%q, %v", b, err)
				}
				if resp.Header.Get("Content-Length") == "99" {
					t.Error("the length that does not count is still there")
				}
			}
			if n := tg.conns.Load(); n != 3 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

func TestRefusesWhatIsUnclear(t *testing.T) {
	for name, answer := range map[string]string{
		"no HTTP":            "SSH-2.0-OpenSSH_9.2\r\n",
		"HTTP/2":             "HTTP/2 200 OK\r\n\r\n",
		"status of letters":  "HTTP/1.1 2oo OK\r\n\r\n",
		"status 99":          "HTTP/1.1 099 OK\r\n\r\n",
		"four digits":        "HTTP/1.1 2000 OK\r\n\r\n",
		"two lengths":        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
		"signed length":      "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
		"list of lengths":    "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
		"unknown encoding":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"space before colon": "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
		"control character":  "HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
		"carriage return":    "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
		"no colon":           "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
		"unasked upgrade":    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
		"cut head":           "HTTP/1.1 200 OK\r\nX: ",
		"endless head":       "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 70<<10) + "\r\n\r\n",
		"endless 103":        strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 2000),
	} {
		t.Run(name, func(t *testing.T) {
			tg := newTarget(t, answer)
			if resp, b, err := get(tg.client(t), request(t, "GET", "/")); err == nil {
				t.Errorf("taken: %v %q", resp, b)
			}
			if n := tg.conns.Load(); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

func TestCutBodyIsAnError(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhello",
	} {
		_, b, err := get(newTarget(t, answer).client(t), request(t, "GET", "/"))
		if !errors.Is(err, io.ErrUnexpectedEOF) || b != "hello" {
			t.Errorf("%q: %q, %v", answer, b, err)
		}
	}
}

// TestAsksAgain: a target ends idle connections just when a request is on its way.
func TestAsksAgain(t *testing.T) {
	tg := newTarget(t, hello, "") // reads the second request of each connection, and ends without an answer
	c := tg.client(t)
	for range 4 {
		if _, b, err := get(c, request(t, "GET", "/")); err != nil || b != "hello" {
			t.Errorf("%q, %v", b, err)
		}
	}
	if n := tg.conns.Load(); n != 4 {
		t.Errorf("%d connections", n)
	}
	tg = newTarget(t, "")
	if _, _, err := get(tg.client(t), request(t, "GET", "/")); !errors.Is(err, errNoAnswer) {
		t.Errorf("a new connection: %v", err)
	}
	if n := tg.conns.Load(); n != 1 {
		t.Errorf("asked a new connection %d times", n)
	}
}

// TestUnaskedAnswer: what a target says on an idle connection answers nothing.
func TestUnaskedAnswer(t *testing.T) {
	tg := newTarget(t, hello+"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", hello)
	c := tg.client(t)
	for range 3 {
		resp, b, err := get(c, request(t, "GET", "/"))
		if err != nil || resp.StatusCode != 200 || b != "hello" {
			t.Errorf("%v %q %v", resp, b, err)
		}
	}
}

func TestResponseTimeout(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tg := &target{Listener: l}
	c := tg.client(t)
	c.ResponseTimeout = 30 * time.Millisecond
	_, err = c.RoundTrip(request(t, "GET", "/"))
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%v", err)
	}
}

func TestContextEndsTheExchange(t *testing.T) {
	gone := errors.New("gone")
	for name, answer := range map[string]string{"head": "HTTP/1.1 200 OK\r\n", "body": "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"} {
		t.Run(name, func(t *testing.T) {
			c := &Client{MaxHead: 64 << 10, Dial: func(context.Context) (net.Conn, error) {
				client, server := net.Pipe()
				t.Cleanup(func() { server.Close() })
				go func() { // and then it says nothing for ever
					_, _ = http.ReadRequest(bufio.NewReader(server))
					_, _ = io.WriteString(server, answer)
				}()
				return client, nil
			}}
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(20*time.Millisecond, func() { cancel(gone) })
			if _, _, err := get(c, request(t, "GET", "/").WithContext(ctx)); !errors.Is(err, gone) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestInterimAnswers(t *testing.T) {
	tg := newTarget(t, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+hello)
	var seen []string
	c := tg.client(t)
	c.Interim = func(_ *http.Request, code int, h http.Header) error {
		seen = append(seen, fmt.Sprint(code, h.Get("Link")))
		return nil
	}
	resp, b, err := get(c, request(t, "GET", "/"))
	if err != nil || b != "hello" || resp.Header.Get("Link") != "" || !slices.Equal(seen, []string{"100", "103</a>"}) {
		t.Errorf("%v %q %v %v", resp, b, err, seen)
	}
}

func TestTrailers(t *testing.T) {
	tg := newTarget(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Content-Length\r\n\r\n1\r\na\r\n0\r\nX-Sum: 7\r\nX-More: 8\r\nContent-Length: 3\r\n\r\n", hello)
	c := tg.client(t)
	r, err := c.RoundTrip(request(t, "GET", "/"))
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := r.Trailer["X-Sum"]; !ok || v != nil || len(r.Trailer) != 1 {
		t.Errorf("announced: %v", r.Trailer)
	}
	if b, err := io.ReadAll(r.Body); err != nil || string(b) != "a" {
		t.Errorf("%q %v", b, err)
	}
	if want := (http.Header{"X-Sum": {"7"}, "X-More": {"8"}}); !maps.EqualFunc(r.Trailer, want, slices.Equal) {
		t.Errorf("%v", r.Trailer)
	}
	if _, b, err := get(c, request(t, "GET", "/")); err != nil || b != "hello" || tg.conns.Load() != 1 {
		t.Errorf("the next: %q %v", b, err)
	}
}

// TestSent: what goes to the target is the request and nothing else.
func TestSent(t *testing.T) {
	tg := newTarget(t, hello)
	r := request(t, "GET", "/a%2fb?x=%zz&y")
	r.Header = http.Header{"X-B": {"1", "2"}, "Connection": {"close"}, "Content-Length": {"7"}, "Transfer-Encoding": {"chunked"}, "User-Agent": nil}
	if _, _, err := get(tg.client(t), r); err != nil {
		t.Fatal(err)
	}
	if got, want := <-tg.heads, "GET /a%2fb?x=%zz&y HTTP/1.1\r\nHost: app.test\r\nX-B: 1\r\nX-B: 2\r\n\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for name, spoil := range map[string]func(*http.Request){
		"value":  func(r *http.Request) { r.Header.Set("X", "a\r\nEvil: 1") },
		"name":   func(r *http.Request) { r.Header["X: 1\r\nEvil"] = []string{"1"} },
		"host":   func(r *http.Request) { r.Host = "a\r\nEvil: 1" },
		"target": func(r *http.Request) { r.URL.RawQuery = "x HTTP/1.1\r\nEvil: 1" },
		"method": func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\nEvil: 1\r\n" },
		"body":   func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("x")) },
	} {
		r := request(t, "GET", "/")
		spoil(r)
		if _, _, err := get(tg.client(t), r); err == nil {
			t.Errorf("%s: sent", name)
		}
	}
}

// TestIdle: connections are bounded in number and in time.
func TestIdle(t *testing.T) {
	tg := newTarget(t, slices.Repeat([]string{hello}, 50)...)
	c := tg.client(t)
	c.MaxIdle, c.IdleTimeout = 2, 50*time.Millisecond
	var open []*http.Response
	for range 4 {
		resp, err := c.RoundTrip(request(t, "GET", "/"))
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, resp)
	}
	for _, resp := range open {
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	kept := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.idle)
	}
	if n := kept(); n != 2 {
		t.Errorf("%d kept", n)
	}
	for end := time.Now().Add(10 * time.Second); kept() > 0 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	if n := kept(); n != 0 {
		t.Errorf("%d kept after their time", n)
	}
}

// FuzzAnswer holds the parser against net/http's: what it takes, net/http takes with the same meaning.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		hello, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n", "HTTP/1.0 404 No\nX: a\n b\n\nrest", "HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
		"HTTP/1.1 204\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nconnection: a, close\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.HasPrefix(b, []byte("HTTP/1.1 1")) {
			return // interim answers: net/http leaves them to its transport
		}
		client, server := net.Pipe()
		defer client.Close()
		go func() {
			defer server.Close()
			_, _ = http.ReadRequest(bufio.NewReader(server))
			_, _ = server.Write(b)
		}()
		c := &Client{Dial: func(context.Context) (net.Conn, error) { return client, nil }, MaxHead: 64 << 10}
		r := request(t, "GET", "/")
		got, gotBody, gotErr := get(c, r)
		if gotErr != nil {
			return
		}
		want, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), r)
		if err != nil {
			t.Fatalf("net/http: %v; here: %v", err, got)
		}
		wantBody, err := io.ReadAll(want.Body)
		if err != nil && strings.Contains(err.Error(), "trailer") { // net/http takes no bare \n there
			err = nil
		}
		if err != nil || gotBody != string(wantBody) {
			t.Fatalf("body %q, net/http %q, %v", gotBody, wantBody, err)
		}
		got.Header.Del("Connection") // of this hop; net/http takes parts of it away
		want.Header.Del("Connection")
		for _, all := range want.Header { // a fold without text leaves a space at the end there
			for i := range all {
				all[i] = strings.TrimRight(all[i], " ")
			}
		}
		if got.StatusCode != want.StatusCode || got.ContentLength != want.ContentLength || !maps.EqualFunc(got.Header, want.Header, slices.Equal) {
			t.Fatalf("%v\nnet/http: %v", got, want)
		}
	})
}
