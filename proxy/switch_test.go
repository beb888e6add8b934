package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ship/internal/shiptest/load"
)

// TestSwitchUnderLoad is what the proxy is for. Each old target is closed to new connections as soon as it has drained.
func TestSwitchUnderLoad(t *testing.T) {
	g := start(t)
	svc := Service{Name: "shop"}
	old := newApp(t, "v0")
	g.deploy(svc, old.Target, 1)
	versions := []string{"v0"}
	for n := range 30 {
		versions = append(versions, fmt.Sprint("v", n+1))
	}
	gen, err := load.Start(t.Context(), load.Options{URLs: []string{"http://" + g.addr}, PostPath: "/post", SlowPath: "/slow", Workers: 2, Pause: 2 * time.Millisecond, Versions: versions})
	if err != nil {
		t.Fatal(err)
	}
	var sockets sync.WaitGroup
	for range 4 { // over all switches: the proxy cuts none
		c, r := g.webSocket()
		sockets.Go(func() {
			for n := range 100 {
				want := fmt.Append(nil, "message ", n)
				_, _ = c.Write(frame(1, want))
				if _, got, err := readFrame(r); err != nil || !bytes.Equal(got, want) {
					t.Errorf("WebSocket, message %d: %q, %v", n, got, err)
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
			c.Close()
		})
	}
	stream := g.send(http.MethodGet, "/stream", nil)
	var drains sync.WaitGroup
	for n, v := range versions[1:] {
		next := newApp(t, v)
		g.deploy(svc, next.Target, int64(n+2))
		leaving := old.ID
		if n > 0 { // v0 has the sockets and the stream
			drains.Go(func() {
				c := g.client()
				defer c.Close()
				if d, err := c.Drain(t.Context(), "shop", leaving, 10*time.Second); err != nil || d.InFlight != 0 {
					t.Errorf("drain: %+v, %v", d, err)
				}
			})
			time.Sleep(20 * time.Millisecond)
		}
		eventually(t, "the load meets "+v, func() bool { return next.requests.Load() >= 5 }) // or it would miss a version
		old = next
	}
	if b, err := io.ReadAll(io.LimitReader(stream.Body, 50)); err != nil || len(b) != 50 {
		t.Errorf("the stream was cut: %q, %v", b, err)
	}
	drains.Wait()
	r := gen.Stop()
	t.Log(r)
	if r.Failed != 0 || r.Total < 500 {
		t.Error(r)
	}
	sockets.Wait()
}

func TestInFlightStaysWithItsTarget(t *testing.T) {
	g := start(t)
	one, two := newApp(t, "one"), newApp(t, "two")
	g.deploy(Service{Name: "a"}, one.Target, 1)
	var answers sync.WaitGroup
	answers.Go(func() {
		if resp, _ := g.get("/slow"); resp.StatusCode != 200 || resp.Header.Get("X-Version") != "one" {
			t.Errorf("in flight: %v", resp)
		}
	})
	eventually(t, "request arrives", func() bool { return one.requests.Load() == 1 })
	g.deploy(Service{Name: "a"}, two.Target, 2)
	if _, b := g.get("/"); b != "two" {
		t.Errorf("after the switch: %q", b)
	}
	st, err := g.Status(t.Context())
	if err != nil || len(st.Services) != 1 || len(st.Services[0].Draining) != 1 || st.Services[0].Draining[0].InFlight != 1 || st.Services[0].Previous.ID != one.ID {
		t.Errorf("status: %+v, %v", st, err)
	}
	begin := time.Now()
	if err := g.Undo(t.Context(), "a", 2); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 200*time.Millisecond {
		t.Errorf("undo took %v", took)
	}
	if _, b := g.get("/"); b != "one" {
		t.Errorf("after undo: %q", b)
	}
	if err := g.Undo(t.Context(), "a", 2); err != nil {
		t.Fatal(err)
	}
	if _, b := g.get("/"); b != "one" {
		t.Errorf("after a second undo: %q", b)
	}
	answers.Wait()
}

// TestUndoneTargetFinishes has a request on the target that is taken back.
func TestUndoneTargetFinishes(t *testing.T) {
	g := start(t)
	one, two := newApp(t, "one"), newApp(t, "two")
	g.deploy(Service{Name: "a"}, one.Target, 1)
	g.deploy(Service{Name: "a"}, two.Target, 2)
	answer := make(chan string, 1)
	go func() {
		resp, _ := g.get("/slow")
		answer <- fmt.Sprint(resp.StatusCode, resp.Header.Get("X-Version"))
	}()
	eventually(t, "request arrives", func() bool { return two.requests.Load() == 1 })
	if err := g.Undo(t.Context(), "a", 2); err != nil {
		t.Fatal(err)
	}
	if d, err := g.Drain(t.Context(), "a", two.ID, 5*time.Second); err != nil || d.InFlight != 0 {
		t.Errorf("drain: %+v, %v", d, err)
	}
	if got := <-answer; got != "200two" {
		t.Errorf("request on the undone target: %s", got)
	}
}

func TestUndoTakesTheWholeRunBack(t *testing.T) {
	g := start(t)
	one, two, three := newApp(t, "one"), newApp(t, "two"), newApp(t, "three")
	g.deploy(Service{Name: "a"}, one.Target, 1)
	g.deploy(Service{Name: "a"}, two.Target, 2)
	g.deploy(Service{Name: "a"}, three.Target, 2) // the same run, once more
	if err := g.Undo(t.Context(), "a", 2); err != nil {
		t.Fatal(err)
	}
	if _, b := g.get("/"); b != "one" {
		t.Errorf("serves %q", b)
	}
	var stale *StaleError
	if err := g.Undo(t.Context(), "a", 1); !errors.As(err, &stale) || stale.Current != 2 {
		t.Errorf("undo of a run that was overtaken: %v", err)
	}
	if err := g.Undo(t.Context(), "a", 3); err != nil {
		t.Errorf("undo of a run that did nothing: %v", err)
	}
	if _, b := g.get("/"); b != "one" {
		t.Errorf("serves %q", b)
	}
}

func TestUndoOfTheFirst(t *testing.T) {
	g := start(t)
	g.deploy(Service{Name: "a"}, newApp(t, "one").Target, 1)
	if err := g.Undo(t.Context(), "a", 1); err != nil {
		t.Fatal(err)
	}
	if resp, _ := g.get("/"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("status %d", resp.StatusCode)
	}
	g.deploy(Service{Name: "a"}, newApp(t, "two").Target, 1)
	if _, b := g.get("/"); b != "two" {
		t.Errorf("serves %q", b)
	}
}

// TestDrainDeadline has one of everything in flight when the patience ends.
func TestDrainDeadline(t *testing.T) {
	g := start(t)
	one, two := newApp(t, "one"), newApp(t, "two")
	one.HandleFunc("/download", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write(make([]byte, 1000))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	one.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	g.deploy(Service{Name: "a"}, one.Target, 1)
	c, frames := g.webSocket()
	_, _ = c.Write(frame(1, []byte("hello")))
	if _, b, err := readFrame(frames); err != nil || string(b) != "hello" {
		t.Fatalf("%q, %v", b, err)
	}
	other, bytesOf := g.upgrade("GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\n")
	defer other.Close()
	stream, download := g.send("GET", "/stream", nil), g.send("GET", "/download", nil)
	silent := make(chan int, 1)
	go func() {
		resp, _ := g.get("/silent")
		silent <- resp.StatusCode
	}()
	eventually(t, "all arrive", func() bool { return one.requests.Load() == 5 })
	g.deploy(Service{Name: "a"}, two.Target, 2)
	begin := time.Now()
	d, err := g.Drain(t.Context(), "a", one.ID, 300*time.Millisecond)
	if err != nil || d.InFlight != 5 || d.WebSockets != 2 {
		t.Errorf("drain: %+v, %v", d, err)
	}
	if took := time.Since(begin); took < 300*time.Millisecond || took > 3*time.Second {
		t.Errorf("drain took %v", took)
	}
	if b, err := io.ReadAll(stream.Body); err != nil || !bytes.HasSuffix(b, []byte("\n\n")) {
		t.Errorf("the stream has no proper end: %q, %v", b, err)
	}
	if b, err := io.ReadAll(download.Body); !errors.Is(err, io.ErrUnexpectedEOF) || len(b) != 1000 {
		t.Errorf("the download: %d bytes, %v; its client must see that it is not whole", len(b), err)
	}
	if got := <-silent; got != http.StatusServiceUnavailable {
		t.Errorf("the one without an answer yet: %d", got)
	}
	if op, b, err := readFrame(frames); err != nil || op != 8 || !bytes.Equal(b, []byte{3, 0xe9}) {
		t.Errorf("WebSocket: frame %d %x, %v; want a close frame 1001", op, b, err)
	}
	if n, err := frames.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after the close frame: %v", err)
	}
	if b, err := io.ReadAll(bytesOf); len(b) != 0 || err != nil {
		t.Errorf("another protocol got %x, %v: nothing of ours belongs there", b, err)
	}
	if _, b := g.get("/"); b != "two" {
		t.Errorf("serves %q", b)
	}
	if st, _ := g.Status(t.Context()); len(st.Services[0].Draining) != 0 {
		t.Errorf("still draining: %+v", st.Services[0].Draining)
	}
}

// TestUndoAfterCut goes back to a target whose leftovers were cut: it serves streams again.
func TestUndoAfterCut(t *testing.T) {
	g := start(t)
	one, two := newApp(t, "one"), newApp(t, "two")
	g.deploy(Service{Name: "a"}, one.Target, 1)
	g.send("GET", "/stream", nil)
	g.deploy(Service{Name: "a"}, two.Target, 2)
	if d, err := g.Drain(t.Context(), "a", one.ID, time.Millisecond); err != nil || d.InFlight != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	if err := g.Undo(t.Context(), "a", 2); err != nil {
		t.Fatal(err)
	}
	s := g.send("GET", "/stream", nil)
	if b, err := io.ReadAll(io.LimitReader(s.Body, 100)); err != nil || len(b) != 100 {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := g.Drain(t.Context(), "a", one.ID, time.Second); err == nil {
		t.Error("the active target is drained")
	}
}

// TestDrainAfterRemove: a service that is gone still waits for its requests.
func TestDrainAfterRemove(t *testing.T) {
	g := start(t)
	one := newApp(t, "one")
	g.deploy(Service{Name: "a"}, one.Target, 1)
	done := make(chan int, 1)
	go func() {
		resp, _ := g.get("/slow")
		done <- resp.StatusCode
	}()
	eventually(t, "request arrives", func() bool { return one.requests.Load() == 1 })
	if err := g.Remove(t.Context(), "a", 2); err != nil {
		t.Fatal(err)
	}
	if resp, _ := g.get("/"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("status %d", resp.StatusCode)
	}
	if d, err := g.Drain(t.Context(), "a", one.ID, 5*time.Second); err != nil || d.InFlight != 0 {
		t.Errorf("%+v, %v", d, err)
	}
	if got := <-done; got != 200 {
		t.Errorf("the request got %d", got)
	}
	var stale *StaleError
	if _, err := g.tryDeploy(Service{Name: "a"}, one.Target, 1); !errors.As(err, &stale) {
		t.Errorf("an overtaken run brings a removed service back: %v", err)
	}
}

// TestDrainGivesUp when its caller goes away, and harms nothing.
func TestDrainGivesUp(t *testing.T) {
	g := start(t)
	one, two := newApp(t, "one"), newApp(t, "two")
	g.deploy(Service{Name: "a"}, one.Target, 1)
	c, r := g.webSocket()
	g.deploy(Service{Name: "a"}, two.Target, 2)
	conn, err := net.Dial("unix", g.socket)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"service":"a","target":"c-one","timeout_ns":60000000000}`
	fmt.Fprintf(conn, "POST /v1/drain HTTP/1.1\r\nHost: p\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	time.Sleep(50 * time.Millisecond)
	conn.Close()
	_, _ = c.Write(frame(1, []byte("still there")))
	if _, b, err := readFrame(r); err != nil || string(b) != "still there" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestClaimNeverMisses lets requests and drains of a target race: once a drain has seen none, none comes.
func TestClaimNeverMisses(t *testing.T) {
	for range 20 {
		u := &upstream{close: func() {}, away: func() {}}
		var late, claimed atomic.Int64
		var empty atomic.Bool
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for u.claim() {
					claimed.Add(1)
					if empty.Load() {
						late.Add(1)
					}
					u.release()
				}
			})
		}
		wg.Go(func() {
			u.leave()
			wait(t.Context(), []*upstream{u})
			empty.Store(true)
		})
		wg.Wait()
		if late.Load() != 0 {
			t.Fatalf("%d of %d requests came after the drain", late.Load(), claimed.Load())
		}
	}
}
