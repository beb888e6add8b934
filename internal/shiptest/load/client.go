package load

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// target is a server.
type target struct {
	name, address, host string
	secure              bool
}

// maxBody bounds how much of an answer is read, in bytes.
const maxBody = 64 << 20

// client asks one server, one request at a time.
type client struct {
	target  *target
	dialer  net.Dialer
	timeout time.Duration
	conn    net.Conn
	reader  *bufio.Reader
	idle    int // connections that the server closed between two requests, which is its right
}

// answer is what came back.
type answer struct {
	version string // X-Version
	idle    int    // see client.idle
	again   int    // see Report.Again
}

var (
	errStatus = errors.New("bad status")
	errBody   = errors.New("answer does not fit the body")
)

// asking asks for the same again and again.
type asking struct {
	*client
	method, path string
	body         int
	fresh        bool
}

func (a *asking) ask(context.Context) (answer, error) { return a.do(a.method, a.path, a.body, a.fresh) }

// do sends one request and reads its answer to the end; never a second one for the same request.
func (c *client) do(method, path string, size int, fresh bool) (answer, error) {
	if err := c.connect(fresh); err != nil {
		return answer{}, fmt.Errorf("connect: %w", err)
	}
	if err := c.conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return answer{}, err
	}
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(rand.IntN(256))
	}
	a, keep, err := c.exchange(method, path, body, fresh)
	a.idle, c.idle = c.idle, 0
	if err != nil || fresh || !keep {
		c.close()
	}
	return a, err
}

func (c *client) exchange(method, path string, body []byte, fresh bool) (_ answer, keep bool, err error) {
	head := method + " " + path + " HTTP/1.1\r\nHost: " + c.target.host + "\r\nUser-Agent: ship-load\r\n"
	if method == http.MethodPost {
		head += "Content-Length: " + strconv.Itoa(len(body)) + "\r\n"
	}
	if fresh {
		head += "Connection: close\r\n"
	}
	_, sendErr := c.conn.Write(append([]byte(head+"\r\n"), body...)) // the answer may be there all the same
	// Nothing at all is not half an answer.
	if _, err := c.reader.Peek(1); err != nil {
		return answer{}, false, errors.Join(sendErr, err)
	}
	resp, err := http.ReadResponse(c.reader, &http.Request{Method: method})
	if err != nil {
		return answer{}, false, errors.Join(sendErr, err)
	}
	defer resp.Body.Close()
	a := answer{version: resp.Header.Get("X-Version")}
	got, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	switch {
	case err != nil:
		return a, false, err
	case resp.StatusCode/100 != 2:
		return a, !resp.Close, fmt.Errorf("%w: %s", errStatus, resp.Status)
	case method == http.MethodPost && !receipt(string(got), body):
		return a, false, fmt.Errorf("%w: %d bytes sent, answer %.80q", errBody, len(body), got)
	}
	return a, !resp.Close, sendErr
}

// receipt tells whether the answer names number and SHA-256 of the body, as the test app does. One that names no
// digest is no receipt and is let pass.
func receipt(answer string, body []byte) bool {
	f := strings.Fields(answer)
	if len(f) != 2 || len(f[1]) != 2*sha256.Size {
		return true
	}
	return f[0] == strconv.Itoa(len(body)) && f[1] == fmt.Sprintf("%x", sha256.Sum256(body))
}

// connect sees to it that there is a connection which the server has not closed.
func (c *client) connect(fresh bool) error {
	if c.conn != nil && (fresh || closed(c.conn)) {
		c.close()
		c.idle++
	}
	if c.conn != nil {
		return nil
	}
	conn, err := c.dialer.Dial("tcp", c.target.address)
	if err != nil {
		return err
	}
	c.conn, c.reader = conn, bufio.NewReader(conn)
	return nil
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close() // nothing is in flight
		c.conn = nil
	}
}

// closed tells whether the peer has closed an idle connection, as far as one can know without writing to it.
func closed(conn net.Conn) bool {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Read(func(fd uintptr) bool {
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		gone = n == 0 && err == nil || err != nil && !errors.Is(err, syscall.EAGAIN)
		return true
	})
	return gone || err != nil
}
