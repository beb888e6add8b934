//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Boot switches the host on, with its disk as it was, and returns when sshd and dockerd answer. A host that runs
// is left alone.
func (h *Host) Boot(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, err := h.running(); err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("no answer for a minute"))
	defer cancel()
	if err := h.powerOff(ctx); err != nil { // what is left of the last run
		return err
	}
	if err := h.lab.switchUp(ctx); err != nil { // gone if the machine was rebooted
		return err
	}
	pid, err := h.launch(ctx)
	if err == nil {
		err = h.ready(ctx, pid)
	}
	if err != nil {
		return fmt.Errorf("boot %s: %w%s", h.Name, err, h.lastWords())
	}
	return nil
}

// launch starts pid 1 behind a gate, gives it cgroup and cable, and opens the gate.
func (h *Host) launch(ctx context.Context) (int, error) {
	if err := h.lab.cg.create(h.lab.group(), h.Name); err != nil {
		return 0, err
	}
	gate, life, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer gate.Close()
	console, err := os.OpenFile(h.path("console.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		life.Close()
		return 0, err
	}
	defer console.Close()
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{gateName, h.dir()}, Env: []string{"PATH=" + hostPath, "HOME=/root", "LANG=C.UTF-8"},
		Stdout: console, Stderr: console, ExtraFiles: []*os.File{gate},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID |
			syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNET},
	}
	if err := cmd.Start(); err != nil {
		life.Close()
		return 0, err
	}
	h.life, h.gone = life, make(chan struct{})
	go func() { // powerOff waits for it
		defer close(h.gone)
		_ = cmd.Wait() // how pid 1 ended does not matter, that it did does
	}()
	return cmd.Process.Pid, h.admit(ctx, cmd.Process.Pid)
}

// admit equips the waiting pid 1 and lets it go.
func (h *Host) admit(ctx context.Context, pid int) error {
	if err := h.lab.cg.join(pid, h.group()); err != nil {
		return err
	}
	init, err := process(pid)
	if err != nil {
		return err
	}
	b, err := json.Marshal(init)
	if err != nil {
		return err
	}
	if err := os.WriteFile(h.path("pid"), b, 0o644); err != nil {
		return err
	}
	if err := h.plug(ctx, pid); err != nil {
		return err
	}
	_, err = h.life.Write([]byte{gateOpen})
	return err
}

// ready waits for dockerd and sshd without a packet on the network, so that no counter moves and no cut matters.
func (h *Host) ready(ctx context.Context, pid int) error {
	err := until(ctx, func() bool {
		_, dead := h.running()
		return dead != nil || h.dockerAnswers(ctx, pid) && listens(pid, 22)
	})
	if err != nil {
		return err
	}
	_, err = h.running()
	return err
}

// dockerAnswers asks dockerd through its socket.
func (h *Host) dockerAnswers(ctx context.Context, pid int) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", fmt.Sprintf("/proc/%d/root/run/docker.sock", pid))
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/_ping", nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// listens says whether a socket of the process's network namespace listens on the TCP port.
func listens(pid, port int) bool {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line) // number, local address, remote address, state 0A = LISTEN
		if len(f) > 3 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
			return true
		}
	}
	return false
}

// Stop halts the host in good order, as shutdown does: dockerd stops its containers first.
func (h *Host) Stop(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	pid, err := h.running()
	if err != nil {
		return nil
	}
	if err := h.lab.cg.freeze(ctx, h.group(), false); err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", h.Name, err)
	}
	waiting, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	// All processes, for pid 1 looks dead a moment before the others are, and who is unplugged then cannot say goodbye.
	_ = until(waiting, func() bool { return len(h.lab.cg.pids(h.group())) == 0 }) // then the hard way
	return h.powerOff(ctx)
}

// Kill is a power loss: all processes end at once and the peers hear nothing, no FIN and no RST.
func (h *Host) Kill(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.powerOff(ctx)
}

// powerOff ends whatever is left of the host, at any stage of its life. The cable comes out first: a dying kernel
// socket tells its peer.
func (h *Host) powerOff(ctx context.Context) error {
	if err := h.unplug(ctx, false); err != nil {
		return fmt.Errorf("power off %s: %w", h.Name, err)
	}
	if h.lab.cg.frozen(h.group()) { // on v1 a frozen process does not even die
		if err := h.lab.cg.freeze(ctx, h.group(), false); err != nil {
			return fmt.Errorf("power off %s: %w", h.Name, err)
		}
	}
	if pid, err := h.running(); err == nil {
		_ = syscall.Kill(pid, syscall.SIGKILL) // and with pid 1 its whole namespace
	}
	if h.life != nil {
		h.life.Close()
		h.life = nil
	}
	begin := time.Now()
	err := until(ctx, func() bool {
		left := h.lab.cg.pids(h.group())
		if time.Since(begin) > 500*time.Millisecond { // pid 1 was not known: a crash between its start and the note of it
			for _, pid := range left {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		return len(left) == 0
	})
	if err != nil {
		return fmt.Errorf("power off %s: processes are left: %w", h.Name, err)
	}
	if h.gone != nil {
		<-h.gone
		h.gone = nil
	}
	if err := h.unplug(ctx, true); err != nil {
		return fmt.Errorf("power off %s: %w", h.Name, err)
	}
	return h.lab.cg.remove(ctx, h.group())
}
