package proxy

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// process is a proxy that can be killed.
type process struct {
	*gateway
	cmd *exec.Cmd
}

// startProcess runs a proxy whose state and socket are in dir.
func startProcess(t testing.TB, dir string) *process {
	t.Helper()
	p := &process{gateway: &gateway{t: t, socket: filepath.Join(dir, "s"), dir: filepath.Join(dir, "state")}}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(self)
	p.cmd.Env = append(os.Environ(), asProcess+"="+dir)
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
	p.stop = func() {
		p.Client.Close()
		_ = p.cmd.Process.Kill()
		<-drained
		_ = p.cmd.Wait() // it was killed
		p.stop = func() {}
	}
	t.Cleanup(func() { p.stop() })
	return p
}

func (p *process) kill() { p.stop() }

// files is how many the process has open.
func (p *process) files() int {
	list, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "fd"))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(list)
}
