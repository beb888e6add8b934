package sshx

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"ship/internal/plain"
)

// A hop that hung up before it asked who we are is tried again, with growing pauses. sshd drops connections at random
// when many come at once (MaxStartups), and says so: that passes in a moment. Whatever else makes it hang up, it may be
// a penalty for what this address did before (PerSourcePenalties), which hammering makes longer.
const (
	crowdTries, crowdPause = 8, 200 * time.Millisecond
	otherTries, otherPause = 3, time.Second
	longestPause           = 3 * time.Second
)

// openHop connects to a hop, through via if there is one, within the hop's connect timeout.
func openHop(ctx context.Context, s settings, via *hop) (*hop, error) {
	inTime, cancel := context.WithTimeout(ctx, s.connectTimeout)
	defer cancel()
	for try := 1; ; try++ {
		h, err := handshake(inTime, s, via)
		if err == nil {
			return h, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var dropped *hungUpError
		if !errors.As(err, &dropped) {
			return nil, err
		}
		pause, ok := dropped.again(try)
		if !ok {
			return nil, err
		}
		again := time.NewTimer(pause)
		select {
		case <-again.C:
		case <-inTime.Done():
			again.Stop()
			return nil, err
		}
	}
}

// hungUpError is a hop that closed the connection before or while keys were exchanged.
type hungUpError struct {
	said    string // in place of a greeting, clean
	greeted bool
}

func (e *hungUpError) Error() string {
	switch {
	case e.said != "":
		return "closes the connection: " + e.said
	case e.greeted:
		return "closes the connection while keys are exchanged"
	}
	return "closes the connection before saying a word"
}

// crowded tells whether sshd has too many connections that are not logged in yet.
func (e *hungUpError) crowded() bool { return strings.Contains(e.said, "MaxStartups") }

func (e *hungUpError) hint() string {
	switch {
	case e.crowded():
		return "too many connect to that sshd at once: wait, or raise MaxStartups in its sshd_config"
	case strings.Contains(e.said, "Not allowed at this time"):
		return "that sshd refuses this address for a while, as after failed logins (PerSourcePenalties in its sshd_config)"
	}
	return "is that sshd? if so, it may have too many connections (MaxStartups) or refuse this address"
}

// again is the pause before the next try, after so many.
func (e *hungUpError) again(tries int) (time.Duration, bool) {
	most, pause := otherTries, otherPause
	if e.crowded() {
		most, pause = crowdTries, crowdPause
	}
	pause = min(pause<<(tries-1), longestPause)
	return pause/2 + rand.N(pause), tries < most // those that came together shall not come back together
}

// greeting is what a hop says before SSH begins: nothing, as a rule, or why it will not talk.
type greeting struct {
	text []byte
	over bool // its version came, or more than we want to read
}

func (g *greeting) note(p []byte) {
	if g.over {
		return
	}
	const enough = 256
	g.text = append(g.text, p[:min(len(p), enough)]...)
	version := bytes.HasPrefix(g.text, []byte("SSH-")) || bytes.Contains(g.text, []byte("\nSSH-"))
	g.over = version || len(g.text) >= enough
	if version {
		g.text = nil
	}
}

// hungUp is the error of a connection that was closed after this greeting.
func (g *greeting) hungUp() *hungUpError {
	return &hungUpError{said: strings.TrimSpace(plain.Text(string(g.text), 80)), greeted: g.over}
}
