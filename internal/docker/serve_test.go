package docker

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"testing"
)

// serve runs h on a unix socket and returns a client for it: what a real engine cannot be made to answer.
func serve(t testing.TB, h http.HandlerFunc) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan struct{})
	go func() { _ = srv.Serve(ln); close(done) }() // ends with ErrServerClosed
	c := New(unixDialer(path))
	t.Cleanup(func() {
		c.Close()
		srv.Close()
		<-done
	})
	return c
}

func unixDialer(path string) Dialer {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
}
