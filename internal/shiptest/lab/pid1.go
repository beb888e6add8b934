//go:build linux

package lab

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A host's pid 1 is this program twice: behind the gate it waits for its cgroup and cable and enters its cgroup
// namespace; then it starts itself again, so that all threads are in it, and runs the host.
const (
	gateName = "ship-lab-gate"
	pid1Name = "ship-lab-pid1"

	gateFD   = 3 // the read end of a pipe from the owner
	gateOpen = 'o'

	hostPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// restartDelay keeps a service that cannot start from busying the machine.
const restartDelay = 200 * time.Millisecond

// initialised guards against a test binary that would run its tests again as pid 1 of a host.
var initialised atomic.Bool

// Init must be called first thing in main or TestMain. In a process that is to be pid 1 of a host it does not return.
func Init() {
	switch filepath.Base(os.Args[0]) {
	case gateName:
		fatal("wait at the gate", passGate(os.Args))
	case pid1Name:
		fatal("run host", runHost(os.Args[1]))
	}
	initialised.Store(true)
}

// fatal writes to the host's console log.
func fatal(act string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", act, err)
	os.Exit(1)
}

// passGate returns only on failure.
func passGate(args []string) error {
	runtime.LockOSThread()
	if b, err := readGate(); err != nil || b != gateOpen {
		return fmt.Errorf("owner is gone: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("new cgroup namespace: %w", err)
	}
	return unix.Exec("/proc/self/exe", append([]string{pid1Name}, args[1:]...), os.Environ())
}

// runHost builds the host's view of the world and keeps its services until it is told to halt.
func runHost(dir string) error {
	unix.CloseOnExec(gateFD)
	spec, err := readSpec(dir)
	if err != nil {
		return err
	}
	sshd := &service{argv: []string{"/usr/sbin/sshd", "-D", "-e"}}
	dockerd := &service{argv: []string{"/usr/sbin/dockerd"}}
	for s, name := range map[*service]string{sshd: "sshd.log", dockerd: "dockerd.log"} { // before the machine's root is gone
		s.log, err = os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return err
		}
	}
	if err := spec.furnish(dir); err != nil {
		return err
	}
	if !spec.Keep {
		go dieWithOwner()
	}
	return supervise(sshd, dockerd)
}

// dieWithOwner ends pid 1, and with it the host, when the owner closes its end of the pipe or dies.
func dieWithOwner() {
	_, _ = readGate()
	os.Exit(1)
}

// readGate waits for a byte from the owner; its end is io.EOF. It has no *os.File of the gate: one that is collected
// closes it, and a host whose gate is closed takes its owner for dead.
func readGate() (byte, error) {
	b := make([]byte, 1)
	for {
		switch n, err := unix.Read(gateFD, b); {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return b[0], nil
		}
	}
}

// service is a program that is started again when it ends, as systemd would.
type service struct {
	argv []string
	log  *os.File
	pid  atomic.Int64
}

func (s *service) start() {
	fd := s.log.Fd()
	pid, err := syscall.ForkExec(s.argv[0], s.argv, &syscall.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []uintptr{0, fd, fd}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "start %s: %v\n", s.argv[0], err)
	}
	s.pid.Store(int64(pid))
}

func (s *service) signal(sig syscall.Signal) {
	if pid := s.pid.Load(); pid > 0 {
		_ = syscall.Kill(int(pid), sig) // gone already is as good
	}
}

// supervise keeps sshd and dockerd running and reaps every orphan of the host. SIGTERM halts: dockerd ends in good
// order, then all the rest with pid 1.
func supervise(sshd, dockerd *service) error {
	var halting atomic.Bool
	term := make(chan os.Signal, 1)
	signal.Notify(term, unix.SIGTERM)
	go func() {
		<-term
		halting.Store(true)
		dockerd.signal(unix.SIGTERM)
	}()
	sshd.start()
	dockerd.start()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return fmt.Errorf("wait for children: %w", err)
		case int64(pid) == dockerd.pid.Load() && halting.Load():
			sshd.signal(unix.SIGTERM)
			os.Exit(0)
		case int64(pid) == dockerd.pid.Load():
			time.Sleep(restartDelay)
			dockerd.start()
		case int64(pid) == sshd.pid.Load():
			time.Sleep(restartDelay)
			sshd.start()
		}
	}
}
