package proxy

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ship/internal/shiptest/leak"
)

// asProcess makes the test binary a proxy: where kill -9 matters, it must be a process of its own.
const asProcess = "PROXY_TEST_RUN"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asProcess); dir != "" {
		if err := runProcess(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(leak.Main(m))
}

// runProcess runs a proxy whose state and socket are in dir; other variables say how.
func runProcess(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	var master *os.File
	switch os.Getenv(asProcess + "_ROLE") {
	case "master":
		return Guard(ctx, func() *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), asProcess+"_ROLE=worker")
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			return cmd
		}, log)
	case "worker":
		master = os.NewFile(WorkerFile, "master")
	}
	rest, _ := time.ParseDuration(os.Getenv(asProcess + "_REST"))
	socket := cmp.Or(os.Getenv(asProcess+"_SOCKET"), filepath.Join(dir, "s"))
	return Run(ctx, Options{HTTPAddr: "127.0.0.1:0", HTTPSAddr: os.Getenv(asProcess + "_HTTPS"), Socket: socket, StateDir: filepath.Join(dir, "state"), Master: master, RestTimeout: rest, Log: log, MetricsAddr: os.Getenv(asProcess + "_METRICS")})
}

// gateway is a running proxy and a client of its control socket.
type gateway struct {
	*Client
	t      testing.TB
	addr   string // of the public side
	socket string
	dir    string // of the state
	log    *syncBuffer
	stop   func() // ends the proxy and waits
}

// start runs a proxy in this process.
func start(t testing.TB, change ...func(*Options)) *gateway {
	t.Helper()
	dir := t.TempDir()
	g := &gateway{t: t, socket: filepath.Join(dir, "s"), dir: filepath.Join(dir, "state"), log: &syncBuffer{}}
	ready := newReady()
	o := Options{HTTPAddr: "127.0.0.1:0", Socket: g.socket, StateDir: g.dir, AccessLog: g.log, Log: slog.New(slog.NewJSONHandler(ready, nil)), Version: "test", QuitTimeout: time.Second}
	for _, c := range change {
		c(&o)
	}
	g.dir = o.StateDir
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, o) }()
	select {
	case g.addr = <-ready.addr:
	case err := <-done:
		t.Fatal(err)
	}
	g.Client = g.client()
	var once sync.Once
	g.stop = func() {
		once.Do(func() {
			g.Client.Close()
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(g.stop)
	return g
}

// client is another one.
func (g *gateway) client() *Client {
	return NewClient(func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", g.socket)
	})
}

// deploy prepares and commits.
func (g *gateway) deploy(s Service, target Target, generation int64) {
	g.t.Helper()
	if _, err := g.tryDeploy(s, target, generation); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gateway) tryDeploy(s Service, target Target, generation int64) (Switched, error) {
	token, err := g.Prepare(g.t.Context(), PrepareRequest{Service: s, Target: target, Generation: generation, Timeout: 5 * time.Second}, nil)
	if err != nil {
		return Switched{}, err
	}
	return g.Commit(g.t.Context(), s.Name, token, generation)
}

// ready takes the address from the proxy's log.
type ready struct{ addr chan string }

func newReady() ready { return ready{make(chan string, 1)} }

func (r ready) Write(p []byte) (int, error) {
	var line struct{ Msg, Address string }
	if json.Unmarshal(p, &line) == nil && line.Msg == "ready" {
		r.addr <- line.Address
	}
	return len(p), nil
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// app is a target.
type app struct {
	Target
	*httptest.Server
	http.ServeMux
	sick     atomic.Bool
	requests atomic.Int64 // /up left out
}

// newApp serves, beside what the caller adds, "/" and what [load] asks for.
func newApp(t testing.TB, version string, change ...func(*http.Server)) *app {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newAppOn(t, version, l, change...)
}

func newAppOn(t testing.TB, version string, l net.Listener, change ...func(*http.Server)) *app {
	t.Helper()
	a := &app{}
	a.HandleFunc("/up", func(w http.ResponseWriter, _ *http.Request) {
		if a.sick.Load() {
			http.Error(w, "database is \x1b[31mdown", http.StatusServiceUnavailable)
		}
	})
	a.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, version) })
	a.HandleFunc("POST /post", func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "%d %x\n", n, h.Sum(nil))
	})
	a.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(time.Second):
		}
	})
	a.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) { // until the client goes
		w.Header().Set("Content-Type", "text/event-stream")
		for n := 0; r.Context().Err() == nil; n++ {
			fmt.Fprintf(w, "data: %d\n\n", n)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	})
	a.HandleFunc("/ws", serveEcho)
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/up" {
			a.requests.Add(1)
		}
		w.Header().Set("X-Version", version)
		a.ServeMux.ServeHTTP(w, r)
	}))
	_ = a.Listener.Close()
	a.Listener = l
	for _, c := range change {
		c(a.Config)
	}
	a.Start()
	t.Cleanup(func() { a.CloseClientConnections(); a.Close() })
	a.Target = Target{ID: "c-" + version, Address: a.Listener.Addr().String(), Release: version}
	return a
}

// raw sends bytes to the proxy and returns what comes back until the connection ends.
func (g *gateway) raw(text string) string {
	g.t.Helper()
	c := g.dial()
	if _, err := io.WriteString(c, text); err != nil {
		g.t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		g.t.Fatalf("after %q: %v", b, err)
	}
	return string(b)
}

func (g *gateway) dial() net.Conn {
	g.t.Helper()
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// get asks on a connection of its own.
func (g *gateway) get(path string, header ...string) (*http.Response, string) {
	g.t.Helper()
	resp := g.send(http.MethodGet, path, nil, header...)
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatalf("%s: %v", path, err)
	}
	return resp, string(b)
}

// send returns at the head of the answer.
func (g *gateway) send(method, path string, body io.Reader, header ...string) *http.Response {
	g.t.Helper()
	resp, err := g.roundTrip(method, path, body, header...)
	if err != nil {
		g.t.Fatal(err)
	}
	return resp
}

func (g *gateway) roundTrip(method, path string, body io.Reader, header ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(g.t.Context(), method, "http://"+g.addr+path, body)
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Add(header[i], header[i+1])
	}
	tr := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	resp, err := tr.RoundTrip(req)
	if err == nil {
		g.t.Cleanup(func() { resp.Body.Close() })
	}
	return resp, err
}

// eventually waits for what a goroutine elsewhere is about to do.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	eventuallyIn(t, 5*time.Second, what, ok)
}

// eventuallyIn is eventually, for what takes others some seconds.
func eventuallyIn(t testing.TB, patience time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// serveEcho speaks WebSocket: it sends each frame back, unmasked.
func serveEcho(w http.ResponseWriter, r *http.Request) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: " + r.Header.Get("Upgrade") + "\r\nConnection: Upgrade\r\n\r\n")
	for rw.Flush() == nil {
		op, payload, err := readFrame(rw.Reader)
		if err != nil {
			return
		}
		_, _ = rw.Write(frame(op, payload))
		if op == 8 {
			_ = rw.Flush()
			return
		}
	}
}

// frame is an unmasked WebSocket frame.
func frame(op byte, payload []byte) []byte {
	b := []byte{0x80 | op}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = append(b, 126, byte(n>>8), byte(n))
	default:
		b = append(b, 127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, payload...)
}

func readFrame(r *bufio.Reader) (op byte, payload []byte, err error) {
	var f frameTracker
	for {
		c, err := r.ReadByte()
		if err != nil {
			return 0, nil, err
		}
		if f.have == 0 {
			op = c & 15
		}
		f.next([]byte{c})
		if f.have == 0 {
			break
		}
	}
	payload = make([]byte, f.left)
	_, err = io.ReadFull(r, payload)
	return op, payload, err
}

// webSocket opens one through the proxy.
func (g *gateway) webSocket(header ...string) (net.Conn, *bufio.Reader) {
	g.t.Helper()
	return g.upgrade("GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + strings.Join(append(header, ""), "\r\n") + "\r\n")
}
