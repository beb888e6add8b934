package sshx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// maxStdout is how much Run takes, in bytes; for more there is Conn.
const maxStdout = 1 << 20

// ErrOutput is wrapped by the error of a Run whose command printed more than 1 MiB.
var ErrOutput = errors.New("more than 1 MiB of output")

// Result is what a command printed and how it ended. The bytes are the host's: Clean them before a person sees them.
type Result struct {
	Stdout []byte // at most 1 MiB
	Stderr []byte // the last 64 KiB
	Status int
}

// Run runs a command to its end. A status other than 0 is an *ExitError, beside the Result; other errors mean that the
// command could not run, that the connection broke (ErrLinkLost), that it printed too much (ErrOutput), that Stdin could
// not be read, or that ctx ended (its cause). In the last three the command is let go: its stdin closes, it has the
// grace to end, and it may outlive that.
func (c *Client) Run(ctx context.Context, cmd Command) (Result, error) {
	k, err := c.start(ctx, cmd)
	if err != nil {
		return Result{Status: -1}, err
	}
	defer k.Close()
	stopped, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	fed := feed(k, cmd.Stdin, stop)
	read := make(chan Result, 1)
	go func() { read <- k.collect(stop) }()
	var res Result
	finished := false
	select {
	case res = <-read:
		finished = true
	case <-stopped.Done():
		k.CloseWrite()
		k.s.end()
		<-k.s.gone
		k.Close()
		res = <-read
	}
	release(cmd.Stdin, fed)
	res.Stderr = k.s.stderr.bytes()
	cause := context.Cause(stopped)
	switch {
	case cause != nil && cause == context.Cause(ctx) && !finished:
		return res, cause
	case cause != nil && cause != context.Cause(ctx):
		return res, fmt.Errorf("%s: %w", cmd.name(), cause)
	}
	<-k.s.exited
	res.Status = k.s.status
	return res, k.s.result()
}

// collect reads stdout, then waits for the command's end.
func (k *conn) collect(stop context.CancelCauseFunc) Result {
	b, err := io.ReadAll(io.LimitReader(k, maxStdout+1))
	if err == nil && len(b) > maxStdout {
		b = b[:maxStdout]
		stop(ErrOutput)
		k.out.Close()
	}
	// Any other error of Read is how the command ended, and result tells that.
	<-k.s.gone
	return Result{Stdout: b, Status: -1}
}

// feed moves stdin to the command in the background; the channel closes when it is done. A stdin that fails stops the
// run: to the command it looks like a normal end.
func feed(k *conn, stdin io.Reader, stop context.CancelCauseFunc) <-chan struct{} {
	fed := make(chan struct{})
	if stdin == nil {
		k.CloseWrite()
		close(fed)
		return fed
	}
	go func() {
		defer close(fed)
		r := &noting{Reader: stdin}
		// A command that does not read all of its stdin is no error; how it ended tells.
		_, _ = io.Copy(k, r)
		if r.err != nil && !k.over() {
			stop(fmt.Errorf("read stdin: %w", r.err))
			return
		}
		k.CloseWrite()
	}()
	return fed
}

// over tells whether the command has ended, or was let go.
func (k *conn) over() bool {
	select {
	case <-k.s.gone:
		return true
	case <-k.s.leave:
		return true
	default:
		return false
	}
}

// release ends feed: by closing stdin where that can be done, else by waiting for a reader that may never return no
// longer than the grace.
func release(stdin io.Reader, fed <-chan struct{}) {
	if closer, ok := stdin.(io.Closer); ok {
		_ = closer.Close() // it is the caller's to care about
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-fed:
	case <-late.C:
	}
}

// noting remembers why a reader failed.
type noting struct {
	io.Reader
	err error
}

func (n *noting) Read(p []byte) (int, error) {
	got, err := n.Reader.Read(p)
	if err != nil && err != io.EOF {
		n.err = err
	}
	return got, err
}
