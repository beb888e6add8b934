package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// upgrade sends a request and returns the connection behind the 101.
func (g *gateway) upgrade(request string) (net.Conn, *bufio.Reader) {
	g.t.Helper()
	c := g.dial()
	_, _ = io.WriteString(c, request)
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		g.t.Fatalf("upgrade: %v, %v", resp, err)
	}
	return c, r
}

// TestHalfClose: an upgraded connection has two directions, which end each by itself.
func TestHalfClose(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	a.HandleFunc("/half", func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\nfirst words")
		_ = rw.Flush()
		_ = c.(*net.TCPConn).CloseWrite()
		b, _ := io.ReadAll(rw)
		a.requests.Add(int64(len(b)))
	})
	g.deploy(Service{Name: "a"}, a.Target, 1)
	c, r := g.upgrade("GET /half HTTP/1.1\r\nHost: x\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\n")
	if b, err := io.ReadAll(r); string(b) != "first words" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	_, _ = io.WriteString(c, "the last words")
	c.Close()
	eventually(t, "the target got it all", func() bool { return a.requests.Load() == 1+14 })
}

// TestRefusedUpgrade: an answer that is none is passed on, and the connection stays one of HTTP.
func TestRefusedUpgrade(t *testing.T) {
	g := start(t)
	g.deploy(Service{Name: "a"}, newApp(t, "v1").Target, 1)
	got := g.raw("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if strings.Count(got, "HTTP/1.1 200") != 2 {
		t.Errorf("%s", got)
	}
}

// TestGoodbyeBetweenFrames cuts a socket in the middle of a large frame.
func TestGoodbyeBetweenFrames(t *testing.T) {
	for _, whole := range []bool{true, false} { // the target ends the frame in time, or never
		g, one, two := start(t), newApp(t, "one"), newApp(t, "two")
		half, rest := make(chan struct{}), make(chan struct{})
		message := frame(2, bytes.Repeat([]byte("x"), 100_000))
		one.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
			_, _ = rw.Write(message[:50_000])
			_ = rw.Flush()
			close(half)
			<-rest
			if whole {
				_, _ = c.Write(append(message[50_000:], frame(1, []byte("one more"))...))
			}
			_, _ = io.Copy(io.Discard, rw)
		})
		g.deploy(Service{Name: "a"}, one.Target, 1)
		_, r := g.upgrade("GET /big HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n")
		<-half
		first := make([]byte, 50_000)
		if _, err := io.ReadFull(r, first); err != nil {
			t.Fatal(err)
		}
		g.deploy(Service{Name: "a"}, two.Target, 2)
		time.AfterFunc(200*time.Millisecond, func() { close(rest) })
		if d, err := g.Drain(t.Context(), "a", one.ID, 50*time.Millisecond); err != nil || d.WebSockets != 1 {
			t.Errorf("%+v, %v", d, err)
		}
		got, _ := io.ReadAll(r)
		want := []byte{}
		if whole {
			want = append(bytes.Clone(message[50_000:]), closeGoingAway[:]...)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("whole %v: %d bytes follow, want %d", whole, len(got), len(want))
		}
	}
}

// TestStuckSocket has a client that reads nothing.
func TestStuckSocket(t *testing.T) {
	g, one, two := start(t), newApp(t, "one"), newApp(t, "two")
	one.HandleFunc("/flood", func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		for message := frame(2, make([]byte, 1<<16)); rw.Flush() == nil; {
			_, _ = rw.Write(message)
		}
	})
	g.deploy(Service{Name: "a"}, one.Target, 1)
	g.upgrade("GET /flood HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	g.deploy(Service{Name: "a"}, two.Target, 2)
	time.Sleep(100 * time.Millisecond)
	begin := time.Now()
	if d, err := g.Drain(t.Context(), "a", one.ID, 50*time.Millisecond); err != nil || d.WebSockets != 1 {
		t.Errorf("%+v, %v", d, err)
	}
	if st, _ := g.Status(t.Context()); len(st.Services[0].Draining) != 0 || time.Since(begin) > 4*time.Second {
		t.Errorf("%+v after %v", st.Services[0].Draining, time.Since(begin))
	}
}

// TestExit ends the proxy with a stream, a WebSocket and a request in flight.
func TestExit(t *testing.T) {
	g, a := start(t, func(o *Options) { o.QuitTimeout = 1500 * time.Millisecond }), newApp(t, "v1")
	g.deploy(Service{Name: "a"}, a.Target, 1)
	_, frames := g.webSocket()
	stream := g.send("GET", "/stream", nil)
	slow := make(chan int, 1)
	go func() {
		resp, _ := g.get("/slow")
		slow <- resp.StatusCode
	}()
	eventually(t, "all arrive", func() bool { return a.requests.Load() == 3 })
	ended := make(chan struct{})
	go func() { defer close(ended); g.stop() }()
	if got := <-slow; got != 200 {
		t.Errorf("the request got %d", got)
	}
	if _, err := io.ReadAll(stream.Body); err != nil {
		t.Errorf("the stream: %v", err)
	}
	if op, b, err := readFrame(frames); op != 8 || !bytes.Equal(b, closeGoingAway[2:]) || err != nil {
		t.Errorf("the WebSocket: %d %x %v", op, b, err)
	}
	<-ended
}

func TestFrames(t *testing.T) {
	var all []byte
	var ends []int
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		all = append(all, frame(2, make([]byte, n))...)
		ends = append(ends, len(all))
		masked := frame(1, make([]byte, n))
		masked[1] |= 0x80
		all = append(all, append(masked, 0, 0, 0, 0)...)
		ends = append(ends, len(all))
	}
	var f frameTracker
	pos := 0
	for _, end := range ends {
		for pos < end {
			pos += f.next(all[pos:])
		}
		if pos != end || !f.between() {
			t.Fatalf("at %d, the frame ends at %d", pos, end)
		}
	}
}

// FuzzFrames: how the bytes are cut into writes makes no difference.
func FuzzFrames(f *testing.F) {
	f.Add(append(frame(1, []byte("hello")), frame(2, make([]byte, 300))...), uint8(3))
	f.Add([]byte{0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5}, uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, step uint8) {
		var at, by frameTracker
		at.advance(b)
		for n := 0; n < len(b); n += int(step) + 1 {
			by.advance(b[n:min(len(b), n+int(step)+1)])
		}
		if at.left != by.left || at.have != by.have {
			t.Errorf("%+v, %+v", at, by)
		}
	})
}
