package sshx

import (
	"errors"
	"time"

	"golang.org/x/crypto/ssh"
)

// opening is a channel with a command in it, or why there is none.
type opening struct {
	ch       ssh.Channel
	requests <-chan *ssh.Request
	err      error
}

// openSoon opens a session, trying again for the grace if the host has no place: sshd gives a place back a moment after
// we heard that a session ended, and its MaxSessions may be lower than ours.
func (c *Client) openSoon(line string, abandoned <-chan struct{}) opening {
	last := time.NewTimer(grace)
	defer last.Stop()
	for pause := 5 * time.Millisecond; ; pause *= 2 {
		o := c.open(line)
		var refused *ssh.OpenChannelError
		if !errors.As(o.err, &refused) {
			return o
		}
		select {
		case <-time.After(pause):
		case <-last.C:
			return o
		case <-abandoned:
			return o
		}
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
