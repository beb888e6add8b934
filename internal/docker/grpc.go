package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"ship/internal/plain"
)

const (
	maxMessage = 8 << 20          // bytes of one gRPC message; engines send at most about one MiB
	upgradeMax = 10 * time.Second // for the answer to the upgrade

	grpcNotFound      = 5
	grpcUnimplemented = 12
)

// contentTransport speaks HTTP/2 to the gRPC services behind an engine's socket. Docker 23 to 28 want the connection
// upgraded by POST /grpc; 29 takes HTTP/2 as it is, and keeps the upgrade only for a while.
func contentTransport(l *links) *http.Transport {
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	d := &grpcDialer{links: l}
	return &http.Transport{
		Protocols:          &h2,
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return d.dial(ctx) },
		IdleConnTimeout:    time.Minute,
		DisableCompression: true,

		MaxResponseHeaderBytes: maxHeader,
	}
}

// grpcDialer opens connections that speak HTTP/2, and remembers which way the engine wants.
type grpcDialer struct {
	links *links

	mu    sync.Mutex
	plain bool // the engine has no upgrade
}

func (d *grpcDialer) dial(ctx context.Context) (net.Conn, error) {
	conn, err := d.links.dial(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	plain := d.plain
	d.mu.Unlock()
	if plain {
		return conn, nil
	}
	up, err := upgrade(ctx, conn)
	if err == nil {
		return up, nil
	}
	conn.Close()
	if !errors.Is(err, errNoUpgrade) {
		return nil, err
	}
	d.mu.Lock()
	d.plain = true
	d.mu.Unlock()
	return d.links.dial(ctx)
}

var errNoUpgrade = errors.New("no upgrade to h2c")

// upgrade turns conn into an HTTP/2 connection. It returns errNoUpgrade if the engine answers anything else.
func upgrade(ctx context.Context, conn net.Conn) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, upgradeMax)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	const ask = "POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n"
	if _, err := io.WriteString(conn, ask); err != nil {
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	resp, r, err := readHead(conn, nil)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("upgrade: %w", context.Cause(ctx))
	}
	if err != nil {
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, errNoUpgrade
	}
	return &bufferedConn{Conn: conn, r: r}, nil
}

// bufferedConn reads through what was read ahead.
type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *bufferedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// grpcCall asks method with one message and returns the stream of answers; the caller closes it.
func (c *Client) grpcCall(ctx context.Context, op, method string, message []byte) (*grpcStream, error) {
	u := url.URL{Scheme: "http", Host: "docker", Path: "/" + method}
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(append(frame, message...)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("TE", "trailers")
	resp, err := c.content.RoundTrip(req)
	if err != nil {
		return nil, transportError(ctx, op, err)
	}
	s := &grpcStream{op: op, resp: resp}
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/grpc") {
		s.close()
		return nil, fmt.Errorf("%s: %w (HTTP %d)", op, ErrUnsupported, resp.StatusCode)
	}
	return s, nil
}

// grpcStream is the messages of one answer.
type grpcStream struct {
	op   string
	resp *http.Response
}

// next returns the next message, or io.EOF after the last one if the service reports success.
func (s *grpcStream) next() ([]byte, error) {
	b, err := readFrame(s.resp.Body)
	if err == io.EOF {
		return nil, s.status()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.op, err)
	}
	return b, nil
}

func (s *grpcStream) close() { _ = s.resp.Body.Close() } // nothing was written

// status is io.EOF for success. It stands in the trailer, or in the header of an answer without messages.
func (s *grpcStream) status() error {
	at := s.resp.Trailer
	if at.Get("Grpc-Status") == "" {
		at = s.resp.Header
	}
	code, err := strconv.Atoi(at.Get("Grpc-Status"))
	if err != nil {
		return fmt.Errorf("%s: %w: answer without status", s.op, io.ErrUnexpectedEOF)
	}
	text := at.Get("Grpc-Message")
	if plain, err := url.PathUnescape(text); err == nil {
		text = plain
	}
	text = plain.Line(text, maxText)
	switch code {
	case 0:
		return io.EOF
	case grpcNotFound:
		return fmt.Errorf("%s: %w: %s", s.op, ErrNotFound, text)
	case grpcUnimplemented:
		return fmt.Errorf("%s: %w: %s", s.op, ErrUnsupported, text)
	}
	return fmt.Errorf("%s: gRPC status %d: %s", s.op, code, text)
}

// readFrame reads one message: a flag (compressed: never asked for), the length as a big-endian uint32, the bytes.
// io.EOF means that there is no further frame.
func readFrame(r io.Reader) ([]byte, error) {
	var h [5]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(h[1:])
	if h[0] != 0 || size > maxMessage {
		return nil, fmt.Errorf("broken gRPC frame (flag %d, %d bytes)", h[0], size)
	}
	// Grown as the bytes come: a promised length alone takes no memory.
	var b bytes.Buffer
	n, err := io.CopyN(&b, r, int64(size))
	if err == io.EOF || err == nil && n < int64(size) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
