package sshx

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestLinkLost(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		signal syscall.Signal
		within time.Duration
	}{
		"killed": {syscall.SIGKILL, 5 * time.Second},
		"frozen": {syscall.SIGSTOP, 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			o := s.options(t)
			o.KeepAlive = 300 * time.Millisecond
			c, err := Dial(t.Context(), s.addr(), o)
			must(t, err)
			defer c.Close()
			k, err := c.Conn(t.Context(), Command{Argv: []string{"cat"}})
			must(t, err)
			defer k.Close()
			reader, writer, runner := make(chan error, 1), make(chan error, 1), make(chan error, 1)
			go func() {
				_, err := io.Copy(io.Discard, k)
				reader <- err
			}()
			go func() {
				_, err := io.Copy(k, endless{})
				writer <- err
			}()
			go func() {
				_, err := c.Run(t.Context(), Command{Script: `echo here; read -r line`, Stdin: waiting(c.Done())})
				runner <- err
			}()
			time.Sleep(100 * time.Millisecond)
			s.signalSessions(t, tt.signal)
			start := time.Now()
			for name, ch := range map[string]chan error{"read": reader, "write": writer, "run": runner} {
				if err := <-ch; !errors.Is(err, ErrLinkLost) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if err := c.Wait(); !errors.Is(err, ErrLinkLost) {
				t.Errorf("wait: %v", err)
			}
			if took := time.Since(start); took > tt.within {
				t.Errorf("took %s", took)
			}
			if _, err := c.Run(t.Context(), Command{Argv: []string{"true"}}); !errors.Is(err, ErrLinkLost) {
				t.Errorf("run afterwards: %v", err)
			}
		})
	}
}

// waiting is a stdin that ends when the connection does.
type waiting <-chan struct{}

func (w waiting) Read([]byte) (int, error) {
	<-w
	return 0, io.EOF
}

func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, err := Dial(t.Context(), s.addr(), s.options(t))
	must(t, err)
	k, err := c.Conn(t.Context(), Command{Script: `echo $$; exec cat`})
	must(t, err)
	buf := make([]byte, 20)
	n, err := k.Read(buf)
	must(t, err)
	runner := make(chan error, 1)
	go func() {
		_, err := c.Run(t.Context(), Command{Argv: []string{"cat"}, Stdin: waiting(c.Done())})
		runner <- err
	}()
	time.Sleep(50 * time.Millisecond)
	must(t, c.Close())
	if err := <-runner; !errors.Is(err, net.ErrClosed) {
		t.Errorf("run: %v", err)
	}
	if _, err := k.Read(buf[n:]); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	if err := c.Wait(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("wait: %v", err)
	}
	must(t, c.Close())
	var pid int
	for _, d := range buf[:n-1] {
		pid = pid*10 + int(d-'0')
	}
	eventually(t, "the command is gone", func() bool { return syscall.Kill(pid, 0) != nil })
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes the connection, nobody answers
	must(t, err)
	defer silent.Close()
	rude := listen(t, func(c net.Conn) {})
	web := listen(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"+strings.Repeat("x\r\n", 2000))
	})
	for name, tt := range map[string]struct{ spec, text string }{
		"refused": {net.JoinHostPort("127.0.0.1", "1"), "connection refused"},
		"no name": {"no-such-host.invalid", "no host has the name no-such-host.invalid"},
		"frozen":  {silent.Addr().String(), "takes the connection, but does not answer within 700ms"},
		"rude":    {rude, "closes the connection before saying a word"},
		"web":     {web, ""},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := Dial(t.Context(), tt.spec, Options{ConfigFile: "none", ConnectTimeout: 700 * time.Millisecond})
			var u *UnreachableError
			if !errors.As(err, &u) || !strings.Contains(err.Error(), tt.text) || u.Hint() == "" || strings.Contains(err.Error(), "ssh: ") {
				t.Errorf("err = %v", err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestDialCancelled(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer silent.Close()
	why := errors.New("changed my mind")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(100*time.Millisecond, func() { cancel(why) })
	if _, err := Dial(ctx, silent.Addr().String(), Options{ConfigFile: "none"}); !errors.Is(err, why) {
		t.Errorf("err = %v", err)
	}
}

// sshd hangs up at random on some of many that connect at once; a jump host for a fleet sees that.
func TestDialTriesAgainWhenHungUpOn(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	left := 2
	front := listen(t, func(c net.Conn) {
		if left--; left >= 0 {
			return
		}
		to, err := net.Dial("tcp", s.addr())
		if err != nil {
			return
		}
		defer to.Close()
		go func() {
			_, _ = io.Copy(to, c)
			to.Close()
		}()
		_, _ = io.Copy(c, to)
	})
	o := s.options(t)
	o.HostKeys = map[string]string{"127.0.0.1": s.host.authorized()}
	c, err := Dial(t.Context(), front, o)
	must(t, err)
	must(t, c.Close())
}

// listen serves connections one after the other until the test ends.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func TestJump(t *testing.T) {
	t.Parallel()
	target := newServer(t)
	bastion := newServer(t, "AllowTcpForwarding local")
	closed := newServer(t)
	o := target.options(t)
	o.Identities = append(o.Identities, bastion.path("id"), closed.path("id"))
	write(t, o.KnownHosts[0], target.host.known(target.addr())+bastion.host.known(bastion.addr())+closed.host.known(closed.addr()))

	t.Run("through", func(t *testing.T) {
		o := o
		o.Jump = bastion.addr()
		c, err := Dial(t.Context(), target.addr(), o)
		must(t, err)
		defer c.Close()
		res, err := c.Run(t.Context(), Command{Script: `echo "$SSH_CONNECTION"`})
		must(t, err)
		if !strings.HasPrefix(string(res.Stdout), "127.0.0.1 ") || len(bastion.sessions()) == 0 {
			t.Errorf("came from %q, and the bastion serves nobody", res.Stdout)
		}
	})
	t.Run("unknown bastion", func(t *testing.T) {
		o := o
		o.Jump = bastion.addr()
		o.HostKeys = map[string]string{bastion.addr(): newKey(t, "ed25519").authorized()}
		var k *HostKeyError
		if _, err := Dial(t.Context(), target.addr(), o); !errors.As(err, &k) || !k.Known {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("bastion does not forward", func(t *testing.T) {
		o := o
		o.Jump = closed.addr()
		var u *UnreachableError
		if _, err := Dial(t.Context(), target.addr(), o); !errors.As(err, &u) || !strings.Contains(u.Hint(), "AllowTcpForwarding") {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("nothing behind the bastion", func(t *testing.T) {
		o := o
		o.Jump = bastion.addr()
		var u *UnreachableError
		if _, err := Dial(t.Context(), "127.0.0.1:1", o); !errors.As(err, &u) || !strings.Contains(err.Error(), "the jump host cannot reach 127.0.0.1:1: ") {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("frozen behind the bastion", func(t *testing.T) {
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer silent.Close()
		o := o
		o.Jump, o.ConnectTimeout = bastion.addr(), 2*time.Second
		var u *UnreachableError
		if _, err := Dial(t.Context(), silent.Addr().String(), o); !errors.As(err, &u) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("lost", func(t *testing.T) {
		o := o
		o.Jump, o.KeepAlive = bastion.addr(), 200*time.Millisecond
		c, err := Dial(t.Context(), target.addr(), o)
		must(t, err)
		defer c.Close()
		bastion.signalSessions(t, syscall.SIGSTOP)
		if err := c.Wait(); !errors.Is(err, ErrLinkLost) {
			t.Errorf("err = %v", err)
		}
	})
}

func TestProxyCommand(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	self, err := os.Executable()
	must(t, err)
	o := s.options(t)
	o.ConfigFile = write(t, t.TempDir()+"/config", "Host x\n  HostName 127.0.0.1\n  ProxyCommand env SSHX_TEST_RELAY=%h:%p "+self+"\n")
	o.Port = s.port
	c, err := Dial(t.Context(), "x", o)
	must(t, err)
	res, err := c.Run(t.Context(), Command{Argv: []string{"echo", "through"}})
	if string(res.Stdout) != "through\n" || err != nil {
		t.Errorf("%q, %v", res.Stdout, err)
	}
	pid := c.hops[0].conn.Conn.(*proxied).cmd.Process.Pid
	must(t, c.Close())
	if syscall.Kill(pid, 0) == nil {
		t.Error("the command is left behind")
	}
	var u *UnreachableError
	if _, err := Dial(t.Context(), "x:1", o); !errors.As(err, &u) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("err = %v", err)
	}
}
