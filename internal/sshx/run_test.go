package sshx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	t.Parallel()
	c := newServer(t).dial(t)
	for name, tt := range map[string]struct {
		cmd            Command
		stdout, stderr string
		status         int
		signal         string
	}{
		"argv":        {cmd: Command{Argv: []string{"printf", "%s|", "a b", "$HOME", "it's", `back\slash`, "wow!", "*", ""}}, stdout: `a b|$HOME|it's|back\slash|wow!|*||`},
		"script":      {cmd: Command{Script: "echo \"$0 $2 $1\"\ncat", Argv: []string{"x y", "-z"}, Stdin: strings.NewReader("in")}, stdout: "sh -z x y\nin"},
		"no stdin":    {cmd: Command{Argv: []string{"cat"}}},
		"both":        {cmd: Command{Script: "echo out; echo err >&2"}, stdout: "out\n", stderr: "err\n"},
		"status":      {cmd: Command{Script: "echo why >&2; exit 3"}, stderr: "why\n", status: 3},
		"not found":   {cmd: Command{Script: "exec 2>/dev/null; no-such-command"}, status: 127},
		"signal":      {cmd: Command{Script: "kill -KILL $$"}, status: 137, signal: "KILL"},
		"deaf":        {cmd: Command{Argv: []string{"true"}, Stdin: strings.NewReader(strings.Repeat("x", 5<<20))}},
		"half a loop": {cmd: Command{Argv: []string{"head", "-c", "3"}, Stdin: endless{}}, stdout: "xxx"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, err := c.Run(t.Context(), tt.cmd)
			var exit *ExitError
			switch {
			case tt.status == 0 && err != nil:
				t.Fatal(err)
			case tt.status != 0 && (!errors.As(err, &exit) || exit.Status != tt.status || exit.Signal != tt.signal || exit.Stderr != strings.TrimSpace(tt.stderr)):
				t.Fatalf("err = %#v, want status %d, signal %q", err, tt.status, tt.signal)
			}
			if string(res.Stdout) != tt.stdout || string(res.Stderr) != tt.stderr || res.Status != tt.status {
				t.Errorf("got %q, %q, %d", res.Stdout, res.Stderr, res.Status)
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestRunRefusesWhatCannotBeACommand(t *testing.T) {
	t.Parallel()
	c := newServer(t).dial(t)
	for name, cmd := range map[string]Command{
		"nothing": {},
		"NUL":     {Argv: []string{"echo", "a\x00b"}},
		"long":    {Argv: []string{"echo", strings.Repeat("x", maxCommand)}},
	} {
		if _, err := c.Run(t.Context(), cmd); err == nil {
			t.Errorf("%s: runs", name)
		}
	}
	if _, err := c.Run(t.Context(), Command{Argv: []string{"true", strings.Repeat("x", maxCommand-9)}}); err != nil {
		t.Errorf("the longest command: %v", err)
	}
}

func TestRunKeepsOutputWithinBounds(t *testing.T) {
	t.Parallel()
	c := newServer(t).dial(t)
	res, err := c.Run(t.Context(), Command{Script: "head -c 1048576 /dev/zero"})
	if err != nil || len(res.Stdout) != maxStdout {
		t.Errorf("1 MiB: %d bytes, %v", len(res.Stdout), err)
	}
	res, err = c.Run(t.Context(), Command{Argv: []string{"yes"}})
	if !errors.Is(err, ErrOutput) || len(res.Stdout) != maxStdout {
		t.Errorf("endless: %d bytes, %v", len(res.Stdout), err)
	}
	res, err = c.Run(t.Context(), Command{Script: "head -c 9000000 /dev/zero >&2; printf '\\033[31mlast\\033[0m\\n' >&2; exit 1"})
	var exit *ExitError
	if !errors.As(err, &exit) || len(res.Stderr) != maxStderr || exit.Stderr != "last" || !strings.HasSuffix(err.Error(), "exit status 1: last") {
		t.Errorf("stderr: %d bytes, %v", len(res.Stderr), err)
	}
}

func TestRunStopsWhenStdinFails(t *testing.T) {
	t.Parallel()
	c := newServer(t).dial(t)
	broken := errors.New("disk on fire")
	_, err := c.Run(t.Context(), Command{Argv: []string{"cat"}, Stdin: io.MultiReader(strings.NewReader("half"), failing{broken})})
	if !errors.Is(err, broken) {
		t.Errorf("err = %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestRunFreesTheWriterOfAPipe(t *testing.T) {
	t.Parallel()
	c := newServer(t).dial(t)
	r, w := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		_, err := io.Copy(w, endless{})
		wrote <- err
	}()
	if _, err := c.Run(t.Context(), Command{Argv: []string{"true"}, Stdin: r}); err != nil {
		t.Error(err)
	}
	if err := <-wrote; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("writer: %v", err)
	}
}

// A cancelled command that ends at the end of its stdin is gone when Run returns.
func TestCancelLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.dial(t)
	pidFile := s.path("pid")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("changed my mind")
	r, w := io.Pipe() // a stdin that stays open
	defer w.Close()
	start := make(chan time.Time, 1)
	go func() {
		awaits(t, w, pidFile)
		start <- time.Now()
		cancel(why)
	}()
	_, err := c.Run(ctx, Command{Script: `read go; echo $$ >"$1"; exec cat`, Argv: []string{pidFile}, Stdin: r})
	if !errors.Is(err, why) {
		t.Errorf("err = %v", err)
	}
	if pid := pidIn(t, pidFile); syscall.Kill(pid, 0) == nil {
		t.Errorf("process %d is left behind", pid)
	}
	if took := time.Since(<-start); took > grace {
		t.Errorf("took %s although the command ends at once", took)
	}
}

// awaits lets a command go that reads a line first, and waits until it has written its pid: by then Run has begun to wait
// for its end, while a command that does not read may run before Run knows.
func awaits(t *testing.T, stdin io.Writer, pidFile string) {
	if _, err := io.WriteString(stdin, "go\n"); err != nil {
		t.Error(err)
	}
	if !soon(func() bool { return fileHas(pidFile, "\n") }) {
		t.Error("the command does not run")
	}
}

// One that does not end is let go after the grace, and the connection works on.
func TestCancelOfACommandThatDoesNotListen(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.dial(t)
	pidFile := s.path("pid")
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	defer w.Close()
	start := make(chan time.Time, 1)
	go func() {
		awaits(t, w, pidFile)
		start <- time.Now()
		cancel()
	}()
	_, err := c.Run(ctx, Command{Script: `trap '' TERM; read go; echo $$ >"$1"; exec sleep 60`, Argv: []string{pidFile}, Stdin: r})
	took := time.Since(<-start)
	if !errors.Is(err, context.Canceled) || took < grace || took > 10*grace {
		t.Errorf("err = %v after %s", err, took)
	}
	if _, err := c.Run(t.Context(), Command{Argv: []string{"true"}}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	_ = syscall.Kill(pidIn(t, pidFile), syscall.SIGKILL)
}

func TestCancelWhileWaitingForAPlace(t *testing.T) {
	t.Parallel()
	c := newServer(t).dial(t)
	for range maxSessions {
		k, err := c.Conn(t.Context(), Command{Argv: []string{"cat"}})
		must(t, err)
		defer k.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Run(ctx, Command{Argv: []string{"true"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v", err)
	}
}

func TestManyRunsQueue(t *testing.T) {
	t.Parallel()
	c := newServer(t, "MaxSessions 6").dial(t) // fewer than we use at a time
	var wg sync.WaitGroup
	var good atomic.Int32
	for i := range 20 {
		wg.Go(func() {
			res, err := c.Run(t.Context(), Command{Argv: []string{"echo", fmt.Sprint(i)}})
			if err == nil && string(res.Stdout) == fmt.Sprintln(i) {
				good.Add(1)
			} else {
				t.Errorf("%d: %q, %v", i, res.Stdout, err)
			}
		})
	}
	wg.Wait()
	if good.Load() != 20 {
		t.Errorf("%d of 20 ran", good.Load())
	}
}

func TestSessionsRefused(t *testing.T) {
	t.Parallel()
	c := newServer(t, "MaxSessions 0").dial(t)
	_, err := c.Run(t.Context(), Command{Argv: []string{"true"}})
	if err == nil || !strings.Contains(err.Error(), "MaxSessions") {
		t.Errorf("err = %v", err)
	}
}

func fileHas(path, text string) bool {
	b, err := os.ReadFile(path)
	return err == nil && strings.Contains(string(b), text)
}

func pidIn(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	var pid int
	_, err = fmt.Sscan(string(b), &pid)
	must(t, err)
	return pid
}
