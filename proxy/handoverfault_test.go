package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ship/internal/shiptest/load"
)

// successor is one played by hand.
func (g *gateway) successor() handoverLink {
	g.t.Helper()
	c, err := net.Dial("unix", handoverSocket(g.dir))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return handoverLink{c.(*net.UnixConn)}
}

// offered is a successor that has its offer.
func (g *gateway) offered() handoverLink {
	g.t.Helper()
	c := g.successor()
	if err := c.send(hello{"by hand"}); err != nil {
		g.t.Fatal(err)
	}
	var o offer
	files, err := c.receive(&o)
	closeAll(files)
	if err != nil || len(files) != 1 || len(o.Listeners) != 1 {
		g.t.Fatalf("%+v, %v", o, err)
	}
	return c
}

// TestSuccessorFails at each step: the proxy goes on as if nothing had happened.
func TestSuccessorFails(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, dir)
	apps := []*app{newApp(t, "v0"), newApp(t, "v1")}
	p.deploy(Service{Name: "a"}, apps[0].Target, 1)
	gen, err := load.Start(t.Context(), load.Options{URLs: []string{"http://" + p.addr}, PostPath: "/post"})
	if err != nil {
		t.Fatal(err)
	}
	generation := int64(1)
	for name, fail := range map[string]func(){
		"says nothing":   func() { p.successor().Close() },
		"is not ours":    func() { _, _ = io.WriteString(p.successor(), "GET / HTTP/1.1\r\n\r\n") },
		"is newer":       func() { _, _ = p.successor().Write([]byte{'S', 'H', 'P', 9, 0, 0, 0, 2, '{', '}'}) },
		"is endless":     func() { _, _ = p.successor().Write([]byte{'S', 'H', 'P', 1, 255, 255, 255, 255}) },
		"dies at once":   func() { c := p.successor(); _ = c.send(hello{"x"}); c.Close() },
		"dies later":     func() { p.offered().Close() },
		"says otherwise": func() { _ = p.offered().send(verdict{"nonsense"}) },
		"took the paths": func() {
			c := p.offered()
			for _, path := range []string{p.socket, handoverSocket(p.dir)} {
				if l, err := listenUnix(path); err != nil || l.Close() != nil {
					t.Fatal(err)
				}
			}
			c.Close()
		},
		"is a process that finds no place for its control socket": func() {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), asProcess+"="+dir, asProcess+"_SOCKET="+filepath.Join(dir, "none", "s"))
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "control socket") {
				t.Errorf("%v, %s", err, out)
			}
		},
	} {
		before := gen.Total()
		fail()
		eventually(t, "the load goes on", func() bool { return gen.Total() > before+10 })
		generation++
		c := p.client() // by the path, as callers come
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
		token, err := c.Prepare(ctx, PrepareRequest{Service: Service{Name: "a"}, Target: apps[generation%2].Target, Generation: generation, Timeout: 5 * time.Second}, nil)
		for err != nil && ctx.Err() == nil { // for a moment, nobody is behind the path
			time.Sleep(10 * time.Millisecond)
			token, err = c.Prepare(ctx, PrepareRequest{Service: Service{Name: "a"}, Target: apps[generation%2].Target, Generation: generation, Timeout: 5 * time.Second}, nil)
		}
		if err == nil {
			_, err = c.Commit(ctx, "a", token, generation)
		}
		stop()
		c.Close()
		if err != nil {
			t.Errorf("a successor that %s: %v", name, err)
		}
	}
	next := startProcess(t, dir) // at last one that lives
	if next.addr != p.addr {
		t.Errorf("it listens on %s, not %s", next.addr, p.addr)
	}
	if r := gen.Stop(); r.Failed != 0 {
		t.Error(r)
	}
	p.ends(10 * time.Second)
}

// TestPredecessorHangs: the successor cannot have its port, says so and ends; and no harm is done.
func TestPredecessorHangs(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, dir)
	p.deploy(Service{Name: "a"}, newApp(t, "v1").Target, 1)
	p.freeze()
	begin := time.Now()
	err := Run(t.Context(), Options{HTTPAddr: p.addr, StateDir: p.dir, Socket: p.socket})
	if !errors.Is(err, errLocked) || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) > 15*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.deploy(Service{Name: "a"}, newApp(t, "v2").Target, 2)
	next := startProcess(t, dir)
	if resp, b := next.get("/"); resp.StatusCode != 200 || b != "v2" {
		t.Errorf("%d %q", resp.StatusCode, b)
	}
	p.ends(10 * time.Second)
}

// TestPredecessorWithoutHandOver: one that only holds the port.
func TestPredecessorWithoutHandOver(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	o := Options{HTTPAddr: l.Addr().String(), StateDir: dir, Socket: filepath.Join(dir, "s")}
	if err := Run(t.Context(), o); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v", err)
	}
	l.Close()
	start(t, func(own *Options) { own.HTTPAddr, own.StateDir, own.Socket = o.HTTPAddr, o.StateDir, o.Socket })
}

// TestCallsAcrossHandOver begins calls with one process and ends them with the next.
func TestCallsAcrossHandOver(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, dir)
	one, two, sick := newApp(t, "one"), newApp(t, "two"), newApp(t, "sick")
	p.deploy(Service{Name: "a"}, one.Target, 1)
	prepare := func(service string, target Target) (string, error) {
		return p.Prepare(t.Context(), PrepareRequest{Service: Service{Name: service, Hosts: []string{service + ".example"}}, Target: target, Generation: 2, Timeout: 10 * time.Second}, nil)
	}
	token, err := prepare("b", two.Target)
	if err != nil {
		t.Fatal(err)
	}
	sick.sick.Store(true)
	waiting := make(chan error, 1)
	var late string
	go func() {
		var err error
		late, err = prepare("c", sick.Target)
		waiting <- err
	}()
	time.Sleep(50 * time.Millisecond)
	next := startProcess(t, dir)
	if _, err := p.Commit(t.Context(), "b", token, 2); err != nil { // over the old connection
		t.Error(err)
	}
	sick.sick.Store(false)
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
	if _, err := next.Commit(t.Context(), "c", late, 2); err != nil {
		t.Error(err)
	}
	for service, want := range map[string]string{"a": "one", "b": "two", "c": "sick"} {
		if _, b := next.get("/", "Host", service+".example"); b != want {
			t.Errorf("%s: %q", service, b)
		}
	}
	st, err := p.Status(t.Context())
	if own, _ := next.Status(t.Context()); err != nil || st.Instance != own.Instance || len(st.Services) != 3 {
		t.Errorf("%+v, %v", st, err)
	}
	var stale *StaleError
	if err := p.Undo(t.Context(), "b", 1); !errors.As(err, &stale) {
		t.Errorf("%v", err)
	}
	p.Client.Close()
	p.ends(10 * time.Second)
}

// TestRestFollows has requests and connections left with the process of before, and switches and drains the target that
// they are with.
func TestRestFollows(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, dir)
	one, two := newApp(t, "one"), newApp(t, "two")
	p.deploy(Service{Name: "a"}, one.Target, 1)
	idle := p.dial()
	ask := func() *http.Response {
		t.Helper()
		_, _ = io.WriteString(idle, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		r := bufio.NewReader(idle)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		resp.Header.Set("Body", string(b))
		return resp
	}
	if resp := ask(); resp.Close || resp.Header.Get("Body") != "one" {
		t.Errorf("%+v", resp)
	}
	slow := make(chan int, 1)
	go func() {
		resp, _ := p.get("/slow")
		slow <- resp.StatusCode
	}()
	eventually(t, "the request arrives", func() bool { return one.requests.Load() == 2 })
	next := startProcess(t, dir)
	next.deploy(Service{Name: "a"}, two.Target, 2)
	st, err := next.Status(t.Context())
	if err != nil || len(st.Rests) != 1 || len(st.Rests[0].Services) != 1 || len(st.Rests[0].Services[0].Draining) != 1 {
		t.Errorf("%+v, %v", st, err)
	}
	if d, err := next.Drain(t.Context(), "a", one.ID, 10*time.Second); err != nil || d.InFlight != 0 {
		t.Errorf("drain: %+v, %v", d, err)
	}
	select {
	case got := <-slow:
		if got != 200 {
			t.Errorf("the request that was drained: %d", got)
		}
	case <-time.After(time.Second):
		t.Error("drained, and a request is still there")
	}
	one.Close()
	if resp := ask(); !resp.Close || resp.Header.Get("Body") != "two" {
		t.Errorf("%+v", resp)
	}
	p.ends(10 * time.Second)
}

// TestRestEnds has a WebSocket and a stream that do not end by themselves.
func TestRestEnds(t *testing.T) {
	dir := t.TempDir()
	first, second := startProcess(t, dir, "REST=3s"), (*process)(nil)
	first.deploy(Service{Name: "a"}, newApp(t, "v1").Target, 1)
	_, frames := first.webSocket()
	stream := first.send(http.MethodGet, "/stream", nil)
	second = startProcess(t, dir)
	if op, b, err := readFrame(frames); op != 8 || string(b) != string(closeGoingAway[2:]) || err != nil {
		t.Errorf("the WebSocket: %d %x %v", op, b, err)
	}
	if _, err := io.ReadAll(stream.Body); err != nil {
		t.Errorf("the stream: %v", err)
	}
	first.ends(10 * time.Second)
	if left, _ := filepath.Glob(filepath.Join(second.dir, restName+"*")); len(left) != 0 {
		t.Errorf("it leaves %v", left)
	}
}

// TestRestIsKilled: nobody waits for it.
func TestRestIsKilled(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, dir)
	one, two := newApp(t, "one"), newApp(t, "two")
	p.deploy(Service{Name: "a"}, one.Target, 1)
	p.webSocket()
	next := startProcess(t, dir)
	p.kill()
	next.deploy(Service{Name: "a"}, two.Target, 2)
	if d, err := next.Drain(t.Context(), "a", one.ID, 10*time.Second); err != nil || d.InFlight != 0 {
		t.Errorf("drain: %+v, %v", d, err)
	}
	if left, _ := filepath.Glob(filepath.Join(next.dir, restName+"*")); len(left) != 0 {
		t.Errorf("it leaves %v", left)
	}
}

// TestNoPlaceForSockets has the state on a disk that holds no other file.
func TestNoPlaceForSockets(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64k,nr_inodes=5"); err != nil { // the root, the folder, three files
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(disk, "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	state := `{"generation":1,"active":{"service":{"name":"a","health":{"path":"/up"}},"target":{"id":"x","address":"` + newApp(t, "v1").Address + `"}}}`
	for _, name := range []string{"a.json", "a.json.bak", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(state), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := start(t, func(o *Options) { o.StateDir, o.Spare, o.Socket = dir, o.Socket, filepath.Join(dir, "s") })
	if _, b := g.get("/"); b != "v1" {
		t.Errorf("serves %q", b)
	}
	if st, err := g.Status(t.Context()); err != nil || len(st.Services) != 1 {
		t.Errorf("%+v, %v", st, err)
	}
}

func FuzzHandOver(f *testing.F) {
	f.Add(append(appendHead(nil, 2), "{}"...))
	f.Add(append(appendHead(nil, 30), `{"say":"ready"}`...))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		var ends [2]handoverLink
		for i, fd := range fds {
			file := os.NewFile(uintptr(fd), "pair")
			c, err := net.FileConn(file)
			file.Close()
			if err != nil {
				t.Fatal(err)
			}
			ends[i] = handoverLink{c.(*net.UnixConn)}
			defer c.Close()
		}
		if len(b) > 1<<16 {
			return
		}
		_, _ = ends[0].Write(b)
		ends[0].Close()
		var o offer
		files, err := ends[1].receive(&o)
		if len(files) != 0 || err == nil && (len(b) < headSize || string(b[:3]) != "SHP") {
			t.Errorf("%q: %d files, %v", b, len(files), err)
		}
	})
}
