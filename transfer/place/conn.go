package place

import (
	"errors"
	"io"
	"net"
	"sync"

	"golang.org/x/crypto/ssh"

	"ship/internal/plain"
)

// conn is an SSH connection with one command, whose standard input and output it is.
type conn struct {
	net.Conn // below SSH: addresses and deadlines are its
	client   ssh.Conn
	channel  ssh.Channel
	complain tail
	heard    chan struct{} // closed when complain is complete
	tasks    sync.WaitGroup
	close    sync.Once
}

// exec starts the command.
func (c *conn) exec(command string) error {
	channel, reqs, err := c.client.OpenChannel("session", nil)
	if err != nil {
		return err
	}
	c.channel, c.heard = channel, make(chan struct{})
	c.tasks.Go(func() { ssh.DiscardRequests(reqs) }) // the status says nothing that the words do not say
	c.tasks.Go(func() {
		defer close(c.heard)
		_, _ = io.Copy(&c.complain, channel.Stderr()) // ends with the channel
	})
	ok, err := channel.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{command}))
	if err == nil && !ok {
		err = errors.New("the host refuses to run a command")
	}
	return err
}

// Read returns what the command prints. Where it ends with nothing but a complaint, that is the error.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.channel.Read(p)
	if n > 0 || err != io.EOF {
		return n, err
	}
	<-c.heard
	if words := plain.Line(string(c.complain.kept()), maxReason); words != "" {
		return 0, errors.New(words)
	}
	return 0, io.EOF
}

func (c *conn) Write(p []byte) (int, error) { return c.channel.Write(p) }

// CloseWrite ends the command's standard input.
func (c *conn) CloseWrite() error { return c.channel.CloseWrite() }

// Close ends the connection, and with it the command's standard input and output.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.close.Do(func() {
		err = c.Conn.Close() // first: a close of SSH's own says goodbye, which may block
		_ = c.client.Close() // over already
		c.tasks.Wait()
	})
	return err
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const maxTail = 4 << 10 // bytes

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p[max(0, len(p)-maxTail):]...)
	t.b = t.b[max(0, len(t.b)-maxTail):]
	return len(p), nil
}

func (t *tail) kept() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b
}
