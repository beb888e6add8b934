package sshx

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"

	"ship/internal/plain"
)

// opening is a channel with a command in it, or why there is none.
type opening struct {
	ch       ssh.Channel
	requests <-chan *ssh.Request
	err      error
}

// openInTurn opens a session as soon as there is a place for it. It fails if the host refuses one for the grace although
// none is open, and with errFull after our patience where there may be another connection. The place is the caller's
// when err is nil.
func (c *Client) openInTurn(ctx context.Context, name, line string) (opening, error) {
	want := wish{ticket: c.places.ticket(), probe: lastProbe}
	if c.siblings.Load() > 0 {
		want.leave = patience
	}
	var alone time.Time // since when the host refuses the only session
	for tries := 0; ; tries++ {
		ok, err := c.places.take(ctx, c.done, want)
		switch {
		case err != nil:
			return opening{}, err
		case !ok:
			return opening{}, c.err
		}
		o, err := c.openInTime(ctx, line)
		if err != nil {
			return opening{}, err
		}
		var refused *ssh.OpenChannelError
		if !errors.As(o.err, &refused) {
			return o, nil
		}
		want.probe = min(firstProbe<<min(tries, 10), lastProbe)
		if c.places.refused() > 0 {
			alone = time.Time{}
			continue
		}
		if alone.IsZero() {
			alone = time.Now()
		}
		if time.Since(alone) > grace {
			return opening{}, fmt.Errorf("%s: %s takes no more sessions (MaxSessions in its sshd_config): %s", name, c.host, plain.Text(refused.Message, 100))
		}
		if err := c.pause(ctx, want.probe); err != nil {
			return opening{}, err
		}
	}
}

// pause waits, while ctx and the connection last.
func (c *Client) pause(ctx context.Context, d time.Duration) error {
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case <-late.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.done:
		return c.err
	}
}

// openInTime opens a session at a place that the caller has; the place is given back with an error, which means that
// ctx ended or the connection.
func (c *Client) openInTime(ctx context.Context, line string) (opening, error) {
	opened, abandoned := make(chan opening), make(chan struct{})
	// Opening cannot be interrupted. This goroutine ends with the connection at the latest; Close does not wait for it,
	// since x/crypto has a moment, while a connection breaks, in which it never answers an open.
	go func() {
		o := c.open(line)
		select {
		case opened <- o:
		case <-abandoned:
			c.places.leave(false) // discard may take as long as the command
			o.discard()
		}
	}()
	defer close(abandoned)
	select {
	case o := <-opened:
		return o, nil
	case <-ctx.Done():
		return opening{}, context.Cause(ctx)
	case <-c.done:
		return opening{}, c.err
	}
}

func (c *Client) open(line string) opening {
	ch, requests, err := c.ssh.OpenChannel("session", nil)
	if err != nil {
		return opening{err: err}
	}
	o := opening{ch: ch, requests: requests}
	ok, err := ch.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{line}))
	if err == nil && !ok {
		err = errors.New("the host refuses to run commands")
	}
	if err != nil {
		o.discard()
		o.err = err
	}
	return o
}

// discard closes the channel and waits until the host did so too.
func (o opening) discard() {
	if o.err != nil {
		return
	}
	_ = o.ch.Close() // fails only if it is closed
	for range o.requests {
	}
}
