package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// liar is a target that answers a request for /lie with whatever it is told, and any other as it should. It keeps
// connections as long as the proxy does.
type liar struct {
	Target
	mu   sync.Mutex
	lie  string
	ends bool // the connection, after a lie
}

func (a *liar) say(lie string, ends bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lie, a.ends = lie, ends
}

func (a *liar) told() (lie string, ends bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lie, a.ends
}

func newLiar(t testing.TB) *liar {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &liar{Target: Target{ID: "liar", Address: l.Addr().String()}}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	t.Cleanup(func() { stop(); l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { c.Close() })
			all.Go(func() { a.serve(c) })
		}
	})
	return a
}

func (a *liar) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		if r.URL.Path != "/lie" {
			if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(r.URL.Path), r.URL.Path); err != nil {
				return
			}
			continue
		}
		lie, ends := a.told()
		if _, err := io.WriteString(c, lie); err != nil || ends {
			return
		}
	}
}

// outcome is an answer as its client sees it.
type outcome struct {
	status int
	header http.Header
	body   string
	whole  bool // it had its proper end
}

func (g *gateway) outcome(method, path string) outcome {
	g.t.Helper()
	c := g.dial()
	defer c.Close()
	body := ""
	if method == "POST" {
		body = "x"
	}
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", method, path, len(body), body); err != nil {
		g.t.Fatal(err)
	}
	in := bufio.NewReader(c)
	req := &http.Request{Method: method}
	resp, err := http.ReadResponse(in, req)
	for err == nil && resp.StatusCode < 200 {
		resp, err = http.ReadResponse(in, req)
	}
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			return outcome{}
		}
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	h := resp.Header
	for _, name := range []string{"Date", "Connection"} {
		h.Del(name)
	}
	if h.Get("Content-Length") == fmt.Sprint(len(b)) { // a short answer's is known on one way, and chunks have none on the other
		h.Del("Content-Length")
	}
	return outcome{resp.StatusCode, h, string(b), err == nil}
}

// TestShortWayIsTheSame: a GET goes the short way and a POST through ReverseProxy and net/http's Transport; what a target
// answers has to mean the same on both. Whatever it was, the next request has its own answer.
func TestShortWayIsTheSame(t *testing.T) {
	g, a := start(t), newLiar(t)
	g.deploy(Service{Name: "a", Health: HealthCheck{Type: CheckTCP, Interval: Duration(time.Hour)}}, a.Target, 1)
	for _, lie := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: a\r\nX: b\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nhello",
		"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\nContent-Length: 2\nX: folded\n  twice\n\nok",
		"HTTP/1.1 299 Strange but true\r\nContent-Length: 2\r\nX-Empty:\r\n\r\nok",
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
		// What is wrong.
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: xyz\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 abc OK\r\n\r\n", "nonsense\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n",
		// More than it said: nobody may get the rest.
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
		"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
	} {
		a.say(lie, false)
		g.compare(t, lie)
	}
	for _, lie := range []string{ // and then it hangs up
		"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n\r\nto the end", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"HTTP/1.0 200 OK\r\n\r\nto the end",
	} {
		a.say(lie, true)
		g.compare(t, lie+" (hangs up)")
	}
}

func (g *gateway) compare(t *testing.T, name string) {
	t.Helper()
	name = fmt.Sprintf("%.120q", name)
	short := g.outcome("GET", "/lie")
	if o := g.outcome("GET", "/next-1"); o.status != 200 || o.body != "/next-1" {
		t.Errorf("%s: the next GET had %+v", name, o)
	}
	long := g.outcome("POST", "/lie")
	if o := g.outcome("GET", "/next-2"); o.status != 200 || o.body != "/next-2" {
		t.Errorf("%s: the GET after a POST had %+v", name, o)
	}
	for _, o := range []*outcome{&short, &long} {
		o.header.Del("X-Request-Id") // each request has its own
		if !o.whole && o.body == "" {
			*o = outcome{} // whether its head went out before it broke is chance on the long way
		}
	}
	if short.status != long.status || short.body != long.body || short.whole != long.whole || !maps.EqualFunc(short.header, long.header, slices.Equal) {
		t.Errorf("%s:\nthe short way %+v\nthe long one  %+v", name, short, long)
	}
	if short.status < 500 && short.header.Get("Content-Type") != "" { // none of them has one
		t.Errorf("%s: a type was guessed: %v", name, short.header)
	}
	if strings.Contains(short.body+long.body, "evil") {
		t.Errorf("%s: the rest got through", name)
	}
}
