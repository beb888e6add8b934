package docker

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"sync"
)

// links knows every connection of a client, so that closing the client ends them all: http.Transport by itself only
// closes the idle ones.
type links struct {
	dialer Dialer
	done   chan struct{} // closed by close

	mu    sync.Mutex
	ended bool
	open  map[*link]struct{}
	dials sync.WaitGroup
}

func newLinks(d Dialer) *links {
	return &links{dialer: d, done: make(chan struct{}), open: map[*link]struct{}{}}
}

// dial opens a connection that close will close.
func (l *links) dial(ctx context.Context) (net.Conn, error) {
	if !l.begin() {
		return nil, fmt.Errorf("dial the engine: %w", net.ErrClosed)
	}
	defer l.dials.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-l.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	conn, err := l.dialer(ctx)
	if err != nil {
		return nil, fmt.Errorf("dial the engine: %w", err)
	}
	k := &link{Conn: conn, home: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		conn.Close()
		return nil, fmt.Errorf("dial the engine: %w", net.ErrClosed)
	}
	l.open[k] = struct{}{}
	return k, nil
}

func (l *links) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.dials.Add(1)
	}
	return !l.ended
}

// close closes all connections, stops the dials under way and waits for them.
func (l *links) close() {
	l.mu.Lock()
	if !l.ended {
		l.ended = true
		close(l.done)
	}
	open := make([]*link, 0, len(l.open))
	for k := range l.open {
		open = append(open, k)
	}
	l.mu.Unlock()
	for _, k := range open {
		k.Close()
	}
	l.dials.Wait()
}

// link is one connection of a client.
type link struct {
	net.Conn
	home *links
}

func (k *link) Close() error {
	k.home.mu.Lock()
	delete(k.home.open, k)
	k.home.mu.Unlock()
	return k.Conn.Close()
}

// readHead reads the head of an answer to req from conn. What follows it is read from body.
func readHead(conn net.Conn, req *http.Request) (resp *http.Response, body *bufio.Reader, err error) {
	limit := &io.LimitedReader{R: conn, N: maxHeader}
	body = bufio.NewReader(limit)
	resp, err = http.ReadResponse(body, req)
	limit.N = math.MaxInt64
	return resp, body, err
}
