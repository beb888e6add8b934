package proxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// rpcServer is an app that speaks HTTP/2 without TLS and nothing else, as gRPC's do.
type rpcServer struct {
	Target
	conns atomic.Int64
	ended chan error // why the call to /wait ended
}

func newRPCServer(t testing.TB) *rpcServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rpcServer{Target: Target{ID: "rpc", Address: l.Addr().String()}, ended: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		w.(http.Flusher).Flush()
		b := make([]byte, 100)
		for {
			n, err := req.Body.Read(b)
			_, _ = w.Write(b[:n])
			w.(http.Flusher).Flush()
			if err != nil {
				break
			}
		}
		w.Header().Set("Grpc-Status", "0")
		w.Header().Set(http.TrailerPrefix+"X-Late", req.Trailer.Get("X-Sent"))
	})
	mux.HandleFunc("/status", func(w http.ResponseWriter, req *http.Request) { // what gRPC calls trailers alone
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "5")
		w.Header().Set("X-Proto", fmt.Sprint(req.Proto, req.Header.Get("Te"), req.Header.Get("X-Forwarded-Proto")))
	})
	mux.HandleFunc("/wait", func(w http.ResponseWriter, req *http.Request) {
		w.(http.Flusher).Flush()
		<-req.Context().Done()
		r.ended <- req.Context().Err()
	})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second, Protocols: new(http.Protocols), ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			r.conns.Add(1)
		}
	}}
	s.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	return r
}

// startRPC puts an app of that kind behind a proxy, and returns a client that speaks HTTP/2 over TLS.
func startRPC(t testing.TB) (*gateway, *rpcServer, *http.Client) {
	t.Helper()
	g, addr := startTLS(t)
	r, pair := newRPCServer(t), newPair(t, "rpc.example")
	g.certify("rpc", pair)
	g.deploy(Service{Name: "rpc", Hosts: []string{"rpc.example"}, Speaks: SpeaksH2C, TLS: &TLS{KeepHTTP: true}, Health: HealthCheck{Type: CheckTCP, Interval: Duration(time.Hour)}}, r.Target, 1)
	return g, r, browser(t, addr, true, pair)
}

// TestCallWithTrailers: what gRPC needs of a proxy.
func TestCallWithTrailers(t *testing.T) {
	_, r, c := startRPC(t)
	req := request(t, "POST", "https://rpc.example/status", strings.NewReader("x"))
	req.Header.Set("Te", "trailers")
	resp, b := read(t, c, req)
	if resp.StatusCode != 200 || resp.Header.Get("Grpc-Status") != "5" || resp.Header.Get("X-Proto") != "HTTP/2.0trailershttps" || b != "" {
		t.Errorf("%v %q", resp, b)
	}
	req = request(t, "POST", "https://rpc.example/echo", struct{ io.Reader }{strings.NewReader("hello")})
	req.Trailer = http.Header{"X-Sent": {"7"}}
	resp, b = read(t, c, req)
	if b != "hello" || resp.Trailer.Get("Grpc-Status") != "0" || resp.Trailer.Get("X-Late") != "7" || resp.ProtoMajor != 2 {
		t.Errorf("%v %q %v", resp, b, resp.Trailer)
	}
	var calls sync.WaitGroup
	for n := range 50 {
		calls.Go(func() {
			text := fmt.Sprint(n)
			if resp, b := read(t, c, request(t, "POST", "https://rpc.example/echo", strings.NewReader(text))); b != text || resp.Trailer.Get("Grpc-Status") != "0" {
				t.Errorf("%d: %v %q", n, resp, b)
			}
		})
	}
	calls.Wait()
	if n := r.conns.Load(); n > 10 {
		t.Errorf("%d connections for 52 calls", n)
	}
}

// TestBothWaysAtOnce: each message is answered before the next is sent.
func TestBothWaysAtOnce(t *testing.T) {
	_, _, c := startRPC(t)
	out, in := io.Pipe()
	resp, err := c.Do(request(t, "POST", "https://rpc.example/echo", out))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, text := range []string{"one", "two", "three"} {
		if _, err := io.WriteString(in, text); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, len(text))
		if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != text {
			t.Fatalf("%q %v", b, err)
		}
	}
	in.Close()
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 || resp.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("%q %v %v", rest, err, resp.Trailer)
	}
}

// TestCallerGivesUp: the app hears of it.
func TestCallerGivesUp(t *testing.T) {
	_, r, c := startRPC(t)
	ctx, stop := context.WithCancel(t.Context())
	resp, err := c.Do(request(t, "POST", "https://rpc.example/wait", nil).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	stop()
	resp.Body.Close()
	select {
	case err := <-r.ended:
		if err == nil {
			t.Error("it ended by itself")
		}
	case <-time.After(10 * time.Second):
		t.Error("the app goes on for nobody")
	}
}

// TestPlainClientOfRPC: clients of HTTP/1.1 reach it too.
func TestPlainClientOfRPC(t *testing.T) {
	g, _, _ := startRPC(t)
	resp, b := g.get("/status", "Host", "rpc.example")
	if resp.StatusCode != 200 || resp.ProtoMajor != 1 || resp.Header.Get("X-Proto") != "HTTP/2.0http" || b != "" {
		t.Errorf("%v %q", resp, b)
	}
}
