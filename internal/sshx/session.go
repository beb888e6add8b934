package sshx

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"ship/internal/plain"
)

const (
	maxStderr = 64 << 10  // bytes of its end that are kept
	pumpSize  = 256 << 10 // bytes that are moved at once; more is not faster
)

// session is one remote command: a channel, what moves its bytes, and its end.
//
// The bytes go through pipes of our own because a call into an x/crypto channel cannot be interrupted: with a silent
// host it returns when the connection is over, not before.
type session struct {
	client *Client
	name   string
	ch     ssh.Channel
	in     net.Conn // from our user, on its way to the command
	out    net.Conn // to our user
	stderr tail

	leave     chan struct{} // closed when nobody wants the command any more
	leaveOnce sync.Once
	exited    chan struct{} // closed when the channel is: status and signal are valid
	gone      chan struct{} // closed when it has exited, or was given up after the grace
	quiet     chan struct{} // closed when stderr is at its end
	over      chan struct{} // closed when stdout is at its end: err is valid
	err       error

	status int // -1 = the host did not say
	signal string
}

// start runs a command as soon as there is a place for it.
func (c *Client) start(ctx context.Context, cmd Command) (*conn, error) {
	line, err := cmd.line()
	if err != nil {
		return nil, err
	}
	o, err := c.openInTurn(ctx, cmd.name(), line)
	if err == errFull {
		return c.startElsewhere(ctx, cmd)
	}
	if err != nil {
		return nil, err
	}
	return c.begin(cmd.name(), o)
}

// begin makes a session out of an open channel; the caller has taken its place.
func (c *Client) begin(name string, o opening) (*conn, error) {
	if o.err != nil {
		c.places.leave(false)
		return nil, fmt.Errorf("%s: %w", name, c.broken(o.err))
	}
	c.places.opened()
	in, inUser := net.Pipe()
	out, outUser := net.Pipe()
	s := &session{
		client: c, name: name, ch: o.ch, in: in, out: out, stderr: tail{max: maxStderr}, status: -1,
		leave: make(chan struct{}), exited: make(chan struct{}), gone: make(chan struct{}),
		quiet: make(chan struct{}), over: make(chan struct{}),
	}
	if !c.enter() {
		o.discard()
		c.places.leave(true)
		return nil, net.ErrClosed
	}
	go func() {
		defer c.wg.Done()
		s.run(o.requests)
	}()
	return &conn{s: s, in: inUser, out: outUser}, nil
}

// broken is the connection's own error, if it is over or about to be; err if not.
func (c *Client) broken(err error) error {
	if !lost(err) {
		return err
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-c.done:
		return c.err
	case <-late.C:
		return fmt.Errorf("%w: %s: %s", ErrLinkLost, c.host, plainReason(err))
	}
}

// run moves the bytes and waits for the end of everything.
func (s *session) run(requests <-chan *ssh.Request) {
	var wg sync.WaitGroup
	wg.Go(s.pumpIn)
	wg.Go(s.pumpOut)
	wg.Go(s.keep)
	wg.Go(func() {
		_, _ = io.Copy(&s.stderr, s.ch.Stderr()) // ends with the channel
		close(s.quiet)
	})
	for r := range requests {
		s.note(r)
	}
	s.in.Close() // first, so that no write succeeds after somebody knows that it ended
	close(s.exited)
	wg.Wait()
}

// note takes in what the host says about the end of the command.
func (s *session) note(r *ssh.Request) {
	switch r.Type {
	case "exit-status":
		if len(r.Payload) >= 4 {
			s.status = int(binary.BigEndian.Uint32(r.Payload) & 0xff)
		}
	case "exit-signal":
		var m struct {
			Signal     string
			CoreDumped bool
			Error      string
			Lang       string
		}
		if ssh.Unmarshal(r.Payload, &m) == nil {
			s.signal = plain.Text(m.Signal, 20)
			s.status = 128 + signals()[m.Signal]
		}
	default:
		if r.WantReply {
			_ = r.Reply(false, nil) // keepalives of the host; a broken connection shows elsewhere
		}
	}
}

// pumpIn moves stdin to the command, and closes it there.
func (s *session) pumpIn() {
	_, err := io.CopyBuffer(s.ch, s.in, make([]byte, s.client.hops[0].conn.limit.packet(pumpSize)))
	s.in.Close()
	if err == nil {
		_ = s.ch.CloseWrite() // fails only if the command is gone
	}
}

// pumpOut moves stdout to our user, then tells how it ended. What nobody reads any more is thrown away: the channel has
// to flow until the command ends.
func (s *session) pumpOut() {
	buf := make([]byte, pumpSize)
	dropped := false
	for {
		n, err := s.ch.Read(buf)
		if n > 0 && !dropped {
			_, werr := s.out.Write(buf[:n])
			dropped = werr != nil
		}
		if err != nil {
			break
		}
	}
	if s.err = s.outcome(); dropped {
		s.err = net.ErrClosed
	}
	close(s.over)
	s.out.Close()
}

// keep frees the session's place when the command has ended or was given up.
func (s *session) keep() {
	select {
	case <-s.exited:
	case <-s.leave:
		last := time.NewTimer(grace)
		defer last.Stop()
		select {
		case <-s.exited:
		case <-last.C:
		case <-s.client.closing:
		}
	case <-s.client.closing:
	}
	s.client.places.leave(true)
	close(s.gone)
	select {
	case <-s.exited:
	default: // what follows may block on a connection that is full, so that nobody waits for it
		_, _ = s.ch.SendRequest("signal", false, ssh.Marshal(struct{ Name string }{"TERM"}))
		_ = s.ch.Close()
	}
	select { // what is not read yet may still be
	case <-s.over:
	case <-s.leave:
	case <-s.client.closing:
	}
	s.in.Close()
	s.out.Close()
}

// end lets go of the command: its stdin ends, and after the grace so does our patience.
func (s *session) end() { s.leaveOnce.Do(func() { close(s.leave) }) }

// outcome is how stdout ended: nil for a command that ended well, or closed its stdout and goes on.
func (s *session) outcome() error {
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-s.exited:
		return s.result()
	case <-late.C:
		return nil
	}
}

// result is how the command ended: nil, an ExitError, or that the connection broke. Only after exited.
func (s *session) result() error {
	<-s.quiet // ends with the channel
	switch {
	case s.status == 0:
		return nil
	case s.status < 0:
		// A broken connection closes its channels first and says so a moment later.
		late := time.NewTimer(grace)
		defer late.Stop()
		select {
		case <-s.client.done:
			return fmt.Errorf("%s: %w", s.name, s.client.err)
		case <-late.C:
		}
	}
	return &ExitError{Cmd: s.name, Status: s.status, Signal: s.signal,
		Stderr: strings.TrimSpace(plain.Text(string(s.stderr.bytes()), maxStderr))}
}

// signals are the numbers of the signals that SSH names.
func signals() map[string]int {
	return map[string]int{"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "ABRT": 6, "FPE": 8, "KILL": 9, "USR1": 10, "SEGV": 11,
		"USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15}
}
