//go:build linux

package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Host is one machine of a lab. Its users are root and deploy (in group docker), sudoer (not in it, but sudo needs
// no password) and nobody2 (neither); all log in with the lab's key.
type Host struct {
	Name    string
	Addr    netip.Addr
	Options HostOptions

	lab    *Lab
	index  int    // in Lab.Hosts
	engine string // root file system below the overlay

	mu   sync.Mutex // held while the power is switched
	life *os.File   // pid 1 stops when this end of the pipe is closed
	gone chan struct{}
}

// ErrOff is the error of what needs a host that runs.
var ErrOff = errors.New("host is off")

// ErrFrozen is the error of what a frozen host would never finish.
var ErrFrozen = errors.New("host is frozen")

func (h *Host) dir() string { return filepath.Join(h.lab.dir, "hosts", h.Name) }
func (h *Host) path(elem ...string) string {
	return filepath.Join(append([]string{h.dir()}, elem...)...)
}
func (h *Host) group() string { return h.lab.group() + "/" + h.Name }

// running returns the host's pid 1 as this machine numbers it.
func (h *Host) running() (int, error) {
	var init owner
	b, err := os.ReadFile(h.path("pid"))
	if err == nil {
		err = json.Unmarshal(b, &init)
	}
	if err != nil || !init.alive() {
		return 0, fmt.Errorf("%s: %w", h.Name, ErrOff)
	}
	return init.PID, nil
}

// State is "up", "frozen" or "off".
func (h *Host) State() string {
	if _, err := h.running(); err != nil {
		return "off"
	}
	if h.lab.cg.frozen(h.group()) {
		return "frozen"
	}
	return "up"
}

// Command is a command that will run as root inside the host, not through the network: in its namespaces, its
// cgroup and its root directory. Its Start fails when the host is off or frozen. It leads a process group of its own:
// the end of ctx kills the group, and syscall.Kill(-cmd.Process.Pid, sig) signals the command itself.
//
// This is also how a host becomes a controller: Command(ctx, "/path/in/host/ship", "push", ...) after [Host.Authorize].
func (h *Host) Command(ctx context.Context, argv ...string) *exec.Cmd {
	pid, err := h.running()
	if err == nil && h.lab.cg.frozen(h.group()) {
		err = fmt.Errorf("%s: %w", h.Name, ErrFrozen)
	}
	// The shell joins the cgroup before nsenter leaves for the host, so that freeze and power loss reach the command.
	const enter = `while [ "$1" != -- ]; do echo $$ >"$1" || exit 125; shift; done; shift; exec "$@"`
	args := []string{"-c", enter, "sh"}
	args = append(append(args, h.lab.cg.procs(h.group(), true)...), "--")
	args = append(args, tool("nsenter"), "-t", strconv.Itoa(pid), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--",
		"/usr/bin/env", "-i", "PATH="+hostPath, "HOME=/root", "LANG=C.UTF-8")
	cmd := exec.CommandContext(ctx, "/bin/sh", append(args, argv...)...)
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // nsenter forks: killing it alone would leave the command
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err != nil {
		cmd.Err = err
	}
	return cmd
}

// Exec runs a shell script inside the host as root and returns its standard output. The error of a script that
// failed is an *exec.ExitError and carries what the script complained about.
func (h *Host) Exec(ctx context.Context, script string) (string, error) {
	cmd := h.Command(ctx, "/bin/sh", "-c", "cd; "+script)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("exec on %s: %w: %s", h.Name, err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}

// Freeze stops every process of the host while its kernel still accepts connections: the peer connects and hears
// nothing. A command that [Host.Command] runs there meanwhile freezes too.
func (h *Host) Freeze(ctx context.Context) error { return h.freeze(ctx, true) }

// Thaw undoes Freeze.
func (h *Host) Thaw(ctx context.Context) error { return h.freeze(ctx, false) }

func (h *Host) freeze(ctx context.Context, frozen bool) error {
	if _, err := h.running(); err != nil {
		return err
	}
	return h.lab.cg.freeze(ctx, h.group(), frozen)
}

// RestartDocker ends dockerd in good order and returns when the next one answers.
func (h *Host) RestartDocker(ctx context.Context) error {
	pid, err := h.running()
	if err != nil {
		return err
	}
	file := fmt.Sprintf("/proc/%d/root/run/docker.pid", pid)
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if _, err := h.Exec(ctx, "kill -TERM "+strings.TrimSpace(string(old))); err != nil {
		return err
	}
	err = until(ctx, func() bool {
		now, err := os.ReadFile(file)
		return err == nil && !bytes.Equal(now, old) && h.dockerAnswers(ctx, pid)
	})
	if err != nil {
		return fmt.Errorf("restart dockerd on %s: %w%s", h.Name, err, h.lastWords())
	}
	return nil
}

// DockerSocket is the path by which a client on this machine reaches the host's dockerd, past the network. It holds
// until the next power cycle.
func (h *Host) DockerSocket() (string, error) {
	pid, err := h.running()
	return fmt.Sprintf("/proc/%d/root/run/docker.sock", pid), err
}

// lastWords is the end of the host's logs, for an error.
func (h *Host) lastWords() string {
	var words strings.Builder
	for _, name := range []string{"console", "dockerd", "sshd"} {
		b, _ := os.ReadFile(h.path(name + ".log"))
		if b = bytes.TrimSpace(b); len(b) > 0 {
			fmt.Fprintf(&words, "\n%s: ...%s", name, b[max(0, len(b)-800):])
		}
	}
	return words.String()
}
