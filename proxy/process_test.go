package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a proxy that can be killed.
type process struct {
	*gateway
	cmd   *exec.Cmd
	ended chan struct{}
}

// startProcess runs a proxy whose state and socket are in dir. env says more: see TestMain.
func startProcess(t testing.TB, dir string, env ...string) *process {
	t.Helper()
	p := &process{gateway: &gateway{t: t, socket: filepath.Join(dir, "s"), dir: filepath.Join(dir, "state")}}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(self)
	p.cmd.Env = append(os.Environ(), asProcess+"="+dir)
	for _, e := range env {
		p.cmd.Env = append(p.cmd.Env, asProcess+"_"+e)
	}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(out); ; {
		var line struct{ Msg, Address string }
		if err := dec.Decode(&line); err != nil {
			t.Fatalf("the proxy did not start: %v", err)
		}
		if line.Msg == "ready" {
			p.addr = line.Address
			break
		}
	}
	drained := make(chan struct{})
	go func() { defer close(drained); _, _ = io.Copy(io.Discard, out) }()
	p.Client = p.client()
	p.ended = make(chan struct{})
	go func() {
		defer close(p.ended)
		<-drained
		_ = p.cmd.Wait() // who wants to know asks its state
	}()
	p.stop = func() {
		p.Client.Close()
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	t.Cleanup(func() { p.stop() })
	return p
}

func (p *process) kill() { p.stop() }

// ends fails unless the process ends by itself, with 0.
func (p *process) ends(patience time.Duration) {
	p.t.Helper()
	select {
	case <-p.ended:
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			p.t.Errorf("process %d ended with %d", p.cmd.Process.Pid, code)
		}
	case <-time.After(patience):
		p.t.Errorf("process %d is still there", p.cmd.Process.Pid)
	}
}

// freeze stops the process, and returns when none of its threads runs.
func (p *process) freeze() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, "the process stops", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
		if err != nil || len(threads) == 0 {
			return false
		}
		for _, path := range threads {
			b, err := os.ReadFile(path)
			if _, state, ok := strings.Cut(string(b), ") "); err != nil || !ok || state[0] != 'T' {
				return false
			}
		}
		return true
	})
}

// files is how many the process has open.
func (p *process) files() int {
	list, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "fd"))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(list)
}
