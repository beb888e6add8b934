package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestHeldRequestsMove has a target that is gone for good: who waits for it is served by the next one, at once.
func TestHeldRequestsMove(t *testing.T) {
	g, one, two := start(t), newApp(t, "one"), newApp(t, "two")
	g.deploy(Service{Name: "a"}, one.Target, 1)
	token, err := g.Prepare(t.Context(), PrepareRequest{Service: Service{Name: "a"}, Target: two.Target, Generation: 2, Timeout: 5 * time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	one.CloseClientConnections()
	one.Close()
	var held sync.WaitGroup
	for range 10 {
		held.Go(func() {
			if resp, b := g.get("/"); resp.StatusCode != 200 || b != "two" {
				t.Errorf("%d %.80s", resp.StatusCode, b)
			}
		})
	}
	waiting := func() bool {
		st, err := g.Status(t.Context())
		return err == nil && st.Services[0].Active.InFlight == 10
	}
	eventually(t, "all wait", waiting)
	if _, err := g.Commit(t.Context(), "a", token, 2); err != nil {
		t.Fatal(err)
	}
	held.Wait()
	eventually(t, "nothing stays counted", func() bool {
		st, err := g.Status(t.Context())
		return err == nil && st.Services[0].Active.InFlight == 0 && len(st.Services[0].Draining) == 0
	})
}

func TestHeldRequestsAreBounded(t *testing.T) {
	u := newUpstream(t.Context(), Target{}, Service{}, time.Minute)
	u.held.Store(maxHeld - 1)
	if !u.wait(t.Context(), time.Nanosecond) {
		t.Error("the last place is not given")
	}
	u.held.Store(maxHeld)
	if u.wait(t.Context(), time.Hour) {
		t.Error("one too many is held")
	}
	if n := u.held.Load(); n != maxHeld {
		t.Errorf("%d are counted as held", n)
	}
}

// TestBrokenOffBeforeTheAnswer: the target dies while it has requests. Those that may be sent twice are, once, also on a
// connection that was new; the others are answered with an error.
func TestBrokenOffBeforeTheAnswer(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	var asked atomic.Int64
	breaks := func(times int64) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if asked.Add(1) > times {
				return
			}
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}
	}
	a.HandleFunc("/once", breaks(1))
	a.HandleFunc("/always", breaks(100))
	g.deploy(Service{Name: "a"}, a.Target, 1)
	for _, c := range []struct {
		method, path string
		status       int
		asked        int64
	}{{"GET", "/once", 200, 2}, {"POST", "/once", 502, 1}, {"GET", "/always", 502, 2}} {
		asked.Store(0)
		a.CloseClientConnections() // so that the next one is new
		resp, err := g.roundTrip(c.method, c.path, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != c.status || asked.Load() != c.asked {
			t.Errorf("%s %s: %d after %d tries", c.method, c.path, resp.StatusCode, asked.Load())
		}
	}
}

// TestDialEndsWithItsTarget: a container that has died may leave connections without an answer. Who waits for one goes to
// the target that takes its place, and not at the end of the time for dialling.
func TestDialEndsWithItsTarget(t *testing.T) {
	full, address := deafListener(t)
	defer full()
	u := newUpstream(t.Context(), Target{Address: address}, Service{}, time.Minute)
	ended, dials := make(chan error, 1), make(chan struct{})
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{ConnectStart: func(string, string) { close(dials) }})
	go func() {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
		if err == nil {
			_, err = u.reused.RoundTrip(r)
		}
		ended <- err
	}()
	<-dials
	u.leave()
	if err := <-ended; !isDialError(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// deafListener has an address at which connections are neither taken nor refused: its queue is full.
func deafListener(t *testing.T) (end func(), address string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		err = errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0))
	}
	if err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address = net.JoinHostPort("127.0.0.1", strconv.Itoa(name.(*syscall.SockaddrInet4).Port))
	var open []net.Conn
	for len(open) < 10 {
		c, err := net.DialTimeout("tcp", address, 100*time.Millisecond)
		if err != nil {
			break
		}
		open = append(open, c)
	}
	return func() {
		for _, c := range open {
			_ = c.Close()
		}
		_ = syscall.Close(fd)
	}, address
}
