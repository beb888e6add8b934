//go:build unix

package sshx

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// dialCommand starts a ProxyCommand, whose stdin and stdout are the connection.
func dialCommand(command string) (net.Conn, error) {
	syscall.ForkLock.RLock() // until both are marked, or another child would hold the connection open
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("ProxyCommand: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ship"), os.NewFile(uintptr(fds[1]), "ProxyCommand")
	defer ours.Close()
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, fmt.Errorf("ProxyCommand: %w", err)
	}
	p := &proxied{Conn: conn, cmd: exec.Command("sh", "-c", "exec "+command), said: &tail{max: 4 << 10}}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = theirs, theirs, p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for ship, which then closes us
	p.cmd.WaitDelay = grace
	if err := p.cmd.Start(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("ProxyCommand: %w", err)
	}
	return p, nil
}

// proxied is a connection through a process, which ends with it.
type proxied struct {
	net.Conn
	cmd  *exec.Cmd
	said *tail
	once sync.Once
}

func (p *proxied) Close() error {
	err := p.Conn.Close()
	p.once.Do(func() {
		// All may have ended by themselves, with their stdin.
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
		last := time.AfterFunc(grace, func() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) })
		_ = p.cmd.Wait()
		last.Stop()
	})
	return err
}

// lastWords are what the command said on stderr, for the error of a connection that failed.
func (p *proxied) lastWords() string { return lastLine(string(p.said.bytes())) }
