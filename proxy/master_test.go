package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ship/internal/shiptest/load"
)

// worker is the process ID of the master's child; 0 = there is none.
func (p *process) worker() int {
	p.t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		p.t.Fatal(err)
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[0] != "Z" && f[1] == strconv.Itoa(p.cmd.Process.Pid) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			return pid
		}
	}
	return 0
}

// another waits for a worker that is not the one of before.
func (p *process) another(before int) (pid int) {
	p.t.Helper()
	eventually(p.t, "there is another worker", func() bool {
		pid = p.worker()
		return pid != 0 && pid != before
	})
	return pid
}

// TestWorkerIsKilled again and again, under load: what was in flight is lost, and no connection is refused.
func TestWorkerIsKilled(t *testing.T) {
	p := startProcess(t, t.TempDir(), "ROLE=master")
	a := newApp(t, "v1")
	p.deploy(Service{Name: "a"}, a.Target, 1)
	gen, err := load.Start(t.Context(), load.Options{URLs: []string{"http://" + p.addr}, PostPath: "/post"})
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 5
	pid := p.worker()
	for n := range rounds {
		time.Sleep(100 * time.Millisecond)
		begin := time.Now()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		resp, _ := p.get("/") // on a connection of its own
		t.Logf("kill %d: the next answer came after %v", n, time.Since(begin))
		if resp.StatusCode != 200 {
			t.Errorf("%d", resp.StatusCode)
		}
		pid = p.another(pid)
	}
	r := gen.Stop()
	t.Log(r)
	if r.Classes[load.Refused] != 0 || r.Classes[load.Status] != 0 || r.Failed > rounds*3 || r.Total < 50 {
		t.Error(r)
	}
	st, err := p.Status(t.Context())
	if err != nil || len(st.Services) != 1 {
		t.Errorf("%+v, %v", st, err)
	}
	p.send("GET", "/stream", nil) // takes its time
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "connections are refused while it ends", func() bool {
		c, err := net.Dial("tcp", p.addr)
		if err == nil {
			c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	select {
	case <-p.ended:
		t.Error("the stream was not waited for")
	default:
	}
	a.CloseClientConnections()
	p.ends(10 * time.Second)
}

// TestMastersHandOver passes the sockets from worker to worker; and the first worker of all, killed when it has handed
// over, is not started again.
func TestMastersHandOver(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, dir, "ROLE=master")
	p.deploy(Service{Name: "a"}, newApp(t, "v1").Target, 1)
	gen, err := load.Start(t.Context(), load.Options{URLs: []string{"http://" + p.addr}, PostPath: "/post", SlowPath: "/slow"})
	if err != nil {
		t.Fatal(err)
	}
	var left []*process
	for n := range 4 {
		next := startProcess(t, dir, "ROLE=master")
		if next.addr != p.addr {
			t.Fatalf("the successor listens on %s", next.addr)
		}
		left, p = append(left, p), next
		p.deploy(Service{Name: "a"}, newApp(t, fmt.Sprint("n", n)).Target, int64(n+2))
	}
	p.successor().Close() // one that fails: the master must hold the sockets still
	p.offered().Close()
	r := gen.Stop()
	t.Log(r)
	if r.Failed != 0 {
		t.Error(r)
	}
	for _, q := range left {
		q.ends(10 * time.Second)
	}
	pid := p.worker()
	_ = syscall.Kill(pid, syscall.SIGKILL)
	if resp, b := p.get("/"); resp.StatusCode != 200 || b != "n3" {
		t.Errorf("%d %q", resp.StatusCode, b)
	}
	p.webSocket() // keeps it
	pid = p.worker()
	next := startProcess(t, dir, "ROLE=master")
	_ = syscall.Kill(pid, syscall.SIGKILL)
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		t.Error("the replaced master is still there")
	}
	if resp, b := next.get("/"); resp.StatusCode != 200 || b != "n3" {
		t.Errorf("%d %q", resp.StatusCode, b)
	}
}

// TestMasterIsKilled: its worker ends, too.
func TestMasterIsKilled(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, dir, "ROLE=master")
	pid := p.worker()
	p.kill()
	eventually(t, "the worker ends", func() bool { return syscall.Kill(pid, 0) != nil })
	startProcess(t, dir, "ROLE=master")
}

// TestWorkerDoesNotComeUp: it is not started again and again.
func TestWorkerDoesNotComeUp(t *testing.T) {
	var starts atomic.Int64
	begin := time.Now()
	err := Guard(t.Context(), func() *exec.Cmd {
		starts.Add(1)
		return exec.Command("false")
	}, slog.New(slog.DiscardHandler))
	if err == nil || starts.Load() != 1 || time.Since(begin) > 5*time.Second {
		t.Errorf("%v after %d starts", err, starts.Load())
	}
}
