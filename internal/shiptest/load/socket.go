package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// socket is a WebSocket that lasts until the server closes it.
type socket struct {
	*client
	path    string
	version string // of the server, as it said at the start
	ended   func(SocketEnd)
}

var errEcho = errors.New("the echo is another message")

// ask sends a message and reads its echo. A close frame instead is the server's right, and no failure; an end without one is.
func (s *socket) ask(context.Context) (answer, error) {
	if s.conn == nil {
		if err := s.open(); err != nil {
			s.close()
			return answer{}, fmt.Errorf("open: %w", err)
		}
	}
	message := fmt.Appendf(nil, "message %d", rand.Uint64())
	err := s.conn.SetDeadline(time.Now().Add(s.timeout))
	if err == nil {
		_, err = s.conn.Write(masked(opText, message)) // it may have been closed meanwhile: the close frame tells
	}
	op, got, rerr := readMessage(s.reader)
	switch {
	case rerr != nil:
		s.close()
		return answer{}, errors.Join(err, rerr)
	case op == opClose:
		code := 1005 // none was given
		if len(got) >= 2 {
			code = int(binary.BigEndian.Uint16(got))
		}
		s.ended(SocketEnd{s.version, time.Now(), code})
		s.close()
	case op != opText || !bytes.Equal(got, message):
		s.close()
		return answer{}, fmt.Errorf("%w: sent %q, got %d %.40q", errEcho, message, op, got)
	}
	return answer{version: s.version}, nil
}

func (s *socket) open() error {
	if err := s.connect(false); err != nil {
		return err
	}
	if err := s.conn.SetDeadline(time.Now().Add(s.timeout)); err != nil {
		return err
	}
	head := "GET " + s.path + " HTTP/1.1\r\nHost: " + s.target.host + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2hpcC1sb2FkLXRlc3QtMQ==\r\n\r\n"
	if _, err := io.WriteString(s.conn, head); err != nil {
		return err
	}
	resp, err := http.ReadResponse(s.reader, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols || !strings.EqualFold(resp.Header.Get("Upgrade"), "websocket") {
		return fmt.Errorf("%w: %s", errStatus, resp.Status)
	}
	s.version = resp.Header.Get("X-Version")
	return nil
}

// Opcodes of RFC 6455, 5.2.
const (
	opText  = 1
	opClose = 8
)

// masked is a client's frame of up to 125 bytes.
func masked(op byte, payload []byte) []byte {
	mask := [4]byte{1, 2, 3, 4} // it hides nothing here
	b := append([]byte{0x80 | op, 0x80 | byte(len(payload))}, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	return b
}

// readMessage reads a server's frame of up to 125 bytes.
func readMessage(r *bufio.Reader) (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	if head[0]&0x80 == 0 || head[1] > 125 {
		return 0, nil, fmt.Errorf("a frame that begins with %x", head)
	}
	payload = make([]byte, head[1])
	_, err = io.ReadFull(r, payload)
	return head[0] & 15, payload, err
}
