package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// echo tells what arrived.
type echo struct {
	URI, Host, Method string
	Header            http.Header
}

func (a *app) echo(path string) {
	a.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(echo{r.RequestURI, r.Host, r.Method, r.Header})
	})
}

func (g *gateway) echoed(path string, header ...string) (e echo) {
	g.t.Helper()
	resp, b := g.get(path, header...)
	if err := json.Unmarshal([]byte(b), &e); err != nil {
		g.t.Fatalf("%s: %d %s", path, resp.StatusCode, b)
	}
	return e
}

func TestWhatTheTargetSees(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	a.echo("/echo/")
	g.deploy(Service{Name: "a"}, a.Target, 1)
	e := g.echoed("/echo/a%2Fb/%7Ec?x=1;y=2&bad=%zz&+", "Host", "Shop.Example:8080",
		"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil", "X-Forwarded-Prefix", "/evil", "X_Forwarded_For", "6.6.6.6",
		"Forwarded", "for=6.6.6.6", "X-Real-Ip", "6.6.6.6", "Connection", "X-Secret, Keep-Alive", "X-Secret", "hop", "Keep-Alive", "timeout=5", "Proxy-Authorization", "x", "Te", "gzip",
		"X-Request-Id", "abc-123", "X-Other", "stays")
	if e.URI != "/echo/a%2Fb/%7Ec?x=1;y=2&bad=%zz&+" || e.Host != "Shop.Example:8080" {
		t.Errorf("%q on %q", e.URI, e.Host)
	}
	for name, want := range map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "Shop.Example:8080", "X-Request-Id": "abc-123", "X-Other": "stays",
		"X-Forwarded-Prefix": "", "X_Forwarded_For": "", "Forwarded": "", "X-Real-Ip": "", "X-Secret": "", "Keep-Alive": "", "Proxy-Authorization": "", "Te": "", "Accept-Encoding": "", "Connection": "",
	} {
		if got := strings.Join(e.Header[name], "|"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, bad := range []string{"", strings.Repeat("x", 129), "a b", "\xff"} {
		if id := g.echoed("/echo/", "X-Request-Id", bad).Header.Get("X-Request-Id"); len(id) != 24 {
			t.Errorf("request ID %q becomes %q", bad, id)
		}
	}
	raw := g.raw("GET /echo/ HTTP/1.1\r\nHost: x\r\nConnection: close, X-Request-Id\r\n\r\n")
	if strings.Contains(raw, "User-Agent") || !strings.Contains(raw, `"X-Request-Id"`) {
		t.Errorf("%s", raw)
	}
}

func TestStripPrefix(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	a.echo("/")
	g.deploy(Service{Name: "a", PathPrefix: "/api", StripPrefix: true}, a.Target, 1)
	for path, want := range map[string]string{"/api/x?y": "/x?y", "/api/a%2Fb": "/a%2Fb", "/api/api": "/api"} {
		if e := g.echoed(path); e.URI != want {
			t.Errorf("%s: %s, want %s", path, e.URI, want)
		}
	}
	for _, path := range []string{"/api", "/api/"} {
		if _, b := g.get(path); b != "v1" {
			t.Errorf("%s: %s", path, b)
		}
	}
	if resp, _ := g.get("/apix"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("/apix: %d", resp.StatusCode)
	}
}

// TestEarlyHints: a 103 is passed on, and the status that counts is the last one.
func TestEarlyHints(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	a.HandleFunc("/hints/{code}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		code, _ := strconv.Atoi(r.PathValue("code"))
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
	})
	g.deploy(Service{Name: "a"}, a.Target, 1)
	for _, code := range []int{404, 302, 200} {
		hints := ""
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(c int, h textproto.MIMEHeader) error {
			hints += fmt.Sprint(c, h.Get("Link"))
			return nil
		}})
		req, _ := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("http://%s/hints/%d", g.addr, code), nil)
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != code || hints != "103</a.css>; rel=preload" || resp.Header.Get("Link") != "" {
			t.Errorf("%d: status %d, hints %q, Link %q", code, resp.StatusCode, hints, resp.Header.Get("Link"))
		}
	}
	eventually(t, "the log has the final status", func() bool { return strings.Contains(g.log.String(), `"status":404`) })
	if strings.Contains(g.log.String(), `"status":103`) {
		t.Error("103 is logged")
	}
}

func TestTrailers(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	a.HandleFunc("/trailers", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
		w.Header().Set(http.TrailerPrefix+"X-Late", "too")
	})
	g.deploy(Service{Name: "a"}, a.Target, 1)
	resp, b := g.get("/trailers")
	if b != "body" || resp.Trailer.Get("X-Sum") != "42" || resp.Trailer.Get("X-Late") != "too" {
		t.Errorf("%q %v", b, resp.Trailer)
	}
}

func TestContinue(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	a.HandleFunc("POST /no", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	g.deploy(Service{Name: "a"}, a.Target, 1)
	ask := func(path string) (status string, continued bool) {
		c := g.dial()
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", path)
		r := bufio.NewReader(c)
		line, _ := r.ReadString('\n')
		if continued = strings.Contains(line, " 100 "); continued {
			_, _ = io.WriteString(c, "hello")
		}
		for strings.Contains(line, " 100 ") { // on a slow day the proxy says it first, and then the target too
			_, _ = r.ReadString('\n')
			line, _ = r.ReadString('\n')
		}
		return strings.Fields(line + " . .")[1], continued
	}
	if s, c := ask("/post"); s != "200" || !c {
		t.Errorf("a wanted body: %s, %v", s, c)
	}
	if s, c := ask("/no"); s != "403" || c {
		t.Errorf("an unwanted body: %s, %v", s, c)
	}
}

func TestHead(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	g.deploy(Service{Name: "a"}, a.Target, 1)
	for _, path := range []string{"/", "/none"} {
		resp := g.send(http.MethodHead, path, nil)
		if b, err := io.ReadAll(resp.Body); len(b) != 0 || err != nil || resp.ContentLength <= 0 {
			t.Errorf("%s: %q, %v, length %d", path, b, err, resp.ContentLength)
		}
	}
}

// TestBigBodies moves 200 MB each way through a proxy of its own process, and looks at its memory.
func TestBigBodies(t *testing.T) {
	const size = 200 << 20
	p, a := startProcess(t, t.TempDir()), newApp(t, "v1")
	block := make([]byte, 1<<20)
	_, _ = rand.Read(block)
	a.HandleFunc("/download", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		for range size / len(block) {
			_, _ = w.Write(block)
		}
	})
	a.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	p.deploy(Service{Name: "a"}, a.Target, 1)
	if n, err := io.Copy(io.Discard, p.send("GET", "/download", nil).Body); n != size || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, body := range []io.Reader{io.LimitReader(repeat(block), size), struct{ io.Reader }{io.LimitReader(repeat(block), size)}} {
		resp := p.send("POST", "/upload", body)
		if b, _ := io.ReadAll(resp.Body); string(b) != fmt.Sprint(size, nil) {
			t.Errorf("upload: %s", b)
		}
	}
	if mb := p.memory() >> 20; mb > 100 {
		t.Errorf("%d MB of memory at the peak", mb)
	}
}

type repeat []byte

func (r repeat) Read(p []byte) (int, error) { return copy(p, r), nil }

// TestStreams: what the target flushes is with the client before the target says more.
func TestStreams(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	next := make(chan struct{})
	a.HandleFunc("/stream/{kind}", func(w http.ResponseWriter, r *http.Request) {
		switch r.PathValue("kind") {
		case "ndjson":
			w.Header().Set("Content-Type", "application/x-ndjson")
		case "sse":
			w.Header().Set("Content-Type", "text/event-stream")
		case "length":
			w.Header().Set("Content-Length", "21")
		}
		w.WriteHeader(200)
		for n := range 3 {
			_ = http.NewResponseController(w).Flush()
			<-next
			fmt.Fprintf(w, "{\"n\":%d}", n)
		}
	})
	g.deploy(Service{Name: "a"}, a.Target, 1)
	for _, kind := range []string{"ndjson", "sse", "length"} {
		resp := g.send("GET", "/stream/"+kind, nil) // the head comes alone
		for n := range 3 {
			next <- struct{}{}
			b := make([]byte, 7)
			if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != fmt.Sprintf("{\"n\":%d}", n) {
				t.Fatalf("%s: %q, %v", kind, b, err)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	a.HandleFunc("/never", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	a.HandleFunc("/dies", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	g.deploy(Service{Name: "a", MaxRequestBody: 1000, ResponseTimeout: Duration(100 * time.Millisecond)}, a.Target, 1)
	for _, c := range []struct {
		method, path string
		body         io.Reader
		want         int
	}{
		{"POST", "/post", bytes.NewReader(make([]byte, 1000)), 200},
		{"POST", "/post", bytes.NewReader(make([]byte, 1001)), 413},
		{"POST", "/post", struct{ io.Reader }{bytes.NewReader(make([]byte, 1001))}, 413}, // chunked
		{"GET", "/never", nil, 504},
		{"GET", "/dies", nil, 502},
		{"POST", "/dies", strings.NewReader("x"), 502},
	} {
		resp := g.send(c.method, c.path, c.body, "Accept", "application/json, text/plain", "X-Request-Id", "q-1")
		var page struct {
			Status int
			Error  string
		}
		err := json.NewDecoder(resp.Body).Decode(&page)
		if resp.StatusCode != c.want || c.want != 200 && (err != nil || page.Status != c.want || page.Error == "" || resp.Header.Get("X-Request-Id") != "q-1") {
			t.Errorf("%s %s: %d %+v, want %d", c.method, c.path, resp.StatusCode, page, c.want)
		}
	}
	if raw := g.raw("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(raw, "HTTP/1.1 405") {
		t.Errorf("%s", raw)
	}
}

func TestDeadTarget(t *testing.T) {
	g := start(t, func(o *Options) { o.Hold = 100 * time.Millisecond })
	a := newApp(t, "v1")
	g.deploy(Service{Name: "a"}, a.Target, 1)
	a.CloseClientConnections()
	a.Close()
	begin := time.Now()
	resp, b := g.get("/")
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || !strings.Contains(b, "<h1>503") || time.Since(begin) < 100*time.Millisecond {
		t.Errorf("%d %v %s after %v", resp.StatusCode, resp.Header, b, time.Since(begin))
	}
	begin = time.Now()
	for range 20 { // it is known to be down: nobody is held any more
		g.get("/")
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("20 requests took %v", took)
	}
}

// TestRestartingTarget is away for a second: requests wait, none fails, none arrives twice.
func TestRestartingTarget(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	g.deploy(Service{Name: "a"}, a.Target, 1)
	a.Close()
	var sent sync.WaitGroup
	for n := range 20 {
		sent.Go(func() {
			var resp *http.Response
			if n%2 == 0 {
				resp, _ = g.get("/")
			} else {
				resp = g.send("POST", "/post", struct{ io.Reader }{strings.NewReader("body")})
				if b, _ := io.ReadAll(resp.Body); string(b) != fmt.Sprintf("4 %x\n", sha256.Sum256([]byte("body"))) {
					t.Errorf("POST: %q", b)
				}
			}
			if resp.StatusCode != 200 {
				t.Errorf("request %d: %d", n, resp.StatusCode)
			}
		})
	}
	time.Sleep(time.Second)
	l, err := net.Listen("tcp", a.Address)
	if err != nil {
		t.Fatal(err)
	}
	back := newAppOn(t, "v1", l)
	sent.Wait()
	if n := back.requests.Load(); n != 20 {
		t.Errorf("%d of 20 requests arrived", n)
	}
}

// TestIdleCloseRace has a target that closes its connections just as the next request may come.
func TestIdleCloseRace(t *testing.T) {
	var got sync.Map
	var posts, twice atomic.Int64
	g := start(t)
	a := newApp(t, "v1", func(s *http.Server) { s.IdleTimeout = time.Millisecond })
	a.HandleFunc("POST /once/{id}", func(w http.ResponseWriter, r *http.Request) {
		posts.Add(1)
		if _, had := got.LoadOrStore(r.PathValue("id"), true); had {
			twice.Add(1)
		}
		_, _ = io.Copy(io.Discard, r.Body)
	})
	g.deploy(Service{Name: "a"}, a.Target, 1)
	var clients sync.WaitGroup
	for w := range 4 {
		clients.Go(func() {
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			for n := range 500 {
				for _, method := range []string{"GET", "POST"} {
					path := "/"
					if method == "POST" {
						path = fmt.Sprintf("/once/%d-%d", w, n)
					}
					req, _ := http.NewRequestWithContext(t.Context(), method, "http://"+g.addr+path, strings.NewReader("x"))
					resp, err := tr.RoundTrip(req)
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if resp.StatusCode != 200 {
						t.Errorf("%s: %d", method, resp.StatusCode)
					}
				}
				if n%4 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	clients.Wait()
	if posts.Load() != 2000 || twice.Load() != 0 {
		t.Errorf("%d of 2000 POSTs arrived, %d twice", posts.Load(), twice.Load())
	}
}

// TestMalformed sends what no honest client does, each followed by a request that must not get through either.
func TestMalformed(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	g.deploy(Service{Name: "a"}, a.Target, 1)
	for name, text := range map[string]string{
		"two hosts":                 "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"no host":                   "GET / HTTP/1.1\r\n\r\n",
		"two lengths":               "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"negative length":           "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
		"signed length":             "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
		"blank before colon":        "POST /post HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
		"unknown transfer encoding": "POST /post HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"two transfer encodings":    "POST /post HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"NUL in a value":            "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
		"CR in a value":             "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
		"blank in a name":           "GET / HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n",
		"folded first header":       "GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n",
		"control in the path":       "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
		"bad version":               "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
		"bad host":                  "GET / HTTP/1.1\r\nHost: a\x01b\r\n\r\n",
		"big header":                "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n\r\n",
		"http2":                     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"TLS":                       "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
	} {
		answer := g.raw(text + "GET /smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		if n := strings.Count(answer, "HTTP/1.1 "); n > 1 || n == 1 && !strings.HasPrefix(answer, "HTTP/1.1 4") && !strings.HasPrefix(answer, "HTTP/1.1 5") {
			t.Errorf("%s: %s", name, answer)
		}
		if a.requests.Swap(0) != 0 {
			t.Errorf("%s got through: %s", name, answer)
		}
	}
}

// TestNormalised has requests that are read in one way by all: the target sees them rewritten.
func TestNormalised(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	a.HandleFunc("/body", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%q %v %q %q %q", b, r.TransferEncoding, r.Header["Content-Length"], r.Header["Upgrade"], r.Header["X"])
	})
	g.deploy(Service{Name: "a"}, a.Target, 1)
	for _, c := range []struct{ name, text, want string }{
		{"both lengths", "POST /body HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 30\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", `"x" [chunked] [] [] []`},
		{"bare line feeds", "GET /body HTTP/1.1\nHost: a\nConnection: close\nX: y\n\n", `"" [] [] [] ["y"]`},
		{"h2c", "GET /body HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", `"" [] [] [] []`},
	} {
		if got := g.raw(c.text); !strings.HasPrefix(got, "HTTP/1.1 200") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	if n := a.requests.Load(); n != 3 {
		t.Errorf("%d requests arrived", n)
	}
}

func TestSlowClients(t *testing.T) {
	g := start(t, func(o *Options) { o.HeaderTimeout, o.IdleTimeout = 300*time.Millisecond, 300*time.Millisecond })
	g.deploy(Service{Name: "a"}, newApp(t, "v1").Target, 1)
	for name, first := range map[string]string{"half a head": "GET / HTTP/1.1\r\nHost: a\r\n", "nothing": "", "idle": "GET / HTTP/1.1\r\nHost: a\r\n\r\n"} {
		c := g.dial()
		begin := time.Now()
		_, _ = io.WriteString(c, first)
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			for n := 0; name == "half a head" && ctx.Err() == nil; n++ {
				_, _ = fmt.Fprintf(c, "X-%d: y\r\n", n)
				time.Sleep(50 * time.Millisecond)
			}
		}()
		_, _ = io.Copy(io.Discard, c)
		stop()
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("%s: held for %v", name, took)
		}
	}
}

// TestTrickledUpload may take as long as it likes.
func TestTrickledUpload(t *testing.T) {
	g := start(t, func(o *Options) { o.HeaderTimeout = 100 * time.Millisecond })
	g.deploy(Service{Name: "a", ResponseTimeout: Duration(100 * time.Millisecond)}, newApp(t, "v1").Target, 1)
	r, w := io.Pipe()
	go func() {
		for range 6 {
			time.Sleep(60 * time.Millisecond)
			_, _ = io.WriteString(w, "x")
		}
		w.Close()
	}()
	if resp := g.send("POST", "/post", r); resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// memory is the process's peak of resident memory, in bytes.
func (p *process) memory() int64 {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "status"))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return n << 10
}
