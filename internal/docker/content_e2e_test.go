//go:build linux

package docker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

func TestContent(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		m := newImage(t, "content/one:v1", "content")
		e.load(t, m)
		checkContent(t, e.Client, e, m)
	})
}

func checkContent(t *testing.T, c *Client, e engine, m *testImage) {
	t.Helper()
	list, err := c.ListContent(t.Context())
	if e.api < 42 {
		if !errors.Is(err, ErrUnsupported) {
			t.Errorf("list: %v, want ErrUnsupported", err)
		}
		return
	}
	must(t, err)
	blobs := map[string]Content{} // by diff ID
	for _, b := range list {
		if d := b.Labels["containerd.io/uncompressed"]; d != "" {
			blobs[d] = b
		}
	}
	if !e.store {
		if len(blobs) != 0 {
			t.Errorf("a graph driver lists layers: %+v", blobs)
		}
		return
	}
	for i, d := range m.diffIDs {
		b, ok := blobs[d]
		if !ok {
			t.Errorf("no blob for layer %d in %+v", i, list)
			continue
		}
		whole := read(t, c, b.Digest, 0)
		if digest(whole) != b.Digest || int64(len(whole)) != b.Size {
			t.Errorf("layer %d: read %d bytes, digest %s, want %+v", i, len(whole), digest(whole), b)
		}
		if !bytes.Equal(read(t, c, b.Digest, 700), whole[700:]) {
			t.Errorf("layer %d: another end when read from 700 on", i)
		}
		if rest := read(t, c, b.Digest, b.Size); len(rest) != 0 {
			t.Errorf("layer %d: %d bytes behind the end", i, len(rest))
		}
	}
	if _, err := c.ReadContent(t.Context(), digest([]byte("nothing")), 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("read what is not there: %v, want ErrNotFound", err)
	}
}

func read(t *testing.T, c *Client, digest string, offset int64) []byte {
	t.Helper()
	r, err := c.ReadContent(t.Context(), digest, offset)
	must(t, err)
	defer r.Close()
	b, err := io.ReadAll(r)
	must(t, err)
	return b
}

// A reader that is closed early leaves the connection whole for the others.
func TestContentClosedEarly(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		if !e.store {
			return
		}
		m := newImage(t, "early/one:v1", "early")
		e.load(t, m)
		list, err := e.ListContent(t.Context())
		must(t, err)
		var big Content
		for _, b := range list {
			if b.Size > big.Size {
				big = b
			}
		}
		for range 5 {
			r, err := e.ReadContent(t.Context(), big.Digest, 0)
			must(t, err)
			_, err = io.ReadFull(r, make([]byte, 10))
			must(t, err)
			must(t, r.Close())
			if _, err := r.Read(make([]byte, 1)); err == nil {
				t.Error("reads on after Close")
			}
		}
		if b := read(t, e.Client, big.Digest, 0); digest(b) != big.Digest {
			t.Error("the next reader gets other bytes")
		}
	})
}

// The way over SSH: each connection is the stdio of a `docker system dial-stdio`.
func TestDialStdio(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		c := New(func(context.Context) (net.Conn, error) {
			return stdio(e.host.Command(context.Background(), "docker", "system", "dial-stdio")) // ends when it is closed
		})
		defer c.Close()
		m := newImage(t, "stdio/one:v1", "stdio")
		engine{Client: c}.load(t, m)
		checkContent(t, c, e, m)
		bad := newImage(t, "stdio/bad:v1", "stdio bad")
		bad.omit = 1
		var le *LoadError
		if _, err := c.LoadImage(t.Context(), bytes.NewReader(bad.archive(t))); !errors.As(err, &le) {
			t.Errorf("%v, want a *LoadError", err)
		}
		must(t, c.RemoveImage(t.Context(), m.tag))
	})
}

// stdioConn is the stdio of a process.
type stdioConn struct {
	io.Writer
	io.Reader
	close func() error
}

func stdio(cmd *exec.Cmd) (net.Conn, error) {
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inR, outW, os.Stderr
	err = cmd.Start()
	inR.Close()
	outW.Close()
	return &stdioConn{Writer: inW, Reader: outR, close: sync.OnceValue(func() error {
		inW.Close()
		outR.Close()
		return cmd.Wait() // dial-stdio ends with its stdin
	})}, err
}

func (c *stdioConn) Close() error { return c.close() }

func (c *stdioConn) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "stdio"} }
func (c *stdioConn) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "stdio"} }
func (c *stdioConn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (c *stdioConn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (c *stdioConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// An engine that hangs while its kernel still accepts connections: the context ends the wait.
func TestFrozenEngine(t *testing.T) {
	e := engines[len(engines)-1]
	must(t, e.host.Freeze(t.Context()))
	defer func() { must(t, e.host.Thaw(context.Background())) }()
	path, err := e.host.DockerSocket()
	must(t, err)
	c := New(unixDialer(path))
	defer c.Close()
	for name, call := range map[string]func(context.Context) error{
		"info":    func(ctx context.Context) error { _, err := c.Info(ctx); return err },
		"content": func(ctx context.Context) error { _, err := c.ListContent(ctx); return err },
		"load": func(ctx context.Context) error {
			_, err := c.LoadImage(ctx, bytes.NewReader(make([]byte, 4<<20)))
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		start := time.Now()
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want deadline exceeded", name, err)
		}
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("%s took %v", name, d)
		}
		cancel()
	}
}
