package proxy

import (
	"context"
	"fmt"
	"io"
	"net"
)

// Control joins in and out to the control socket, until either side ends. It is how a command like `docker exec`
// becomes a connection to the proxy.
func Control(ctx context.Context, socket string, in io.Reader, out io.Writer) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	answered := make(chan error, 1)
	go func() {
		_, err := io.Copy(out, c)
		answered <- err
	}()
	asked := make(chan error, 1)
	go func() { // ends with standard input, or with the process: a read of it cannot be interrupted
		_, err := io.Copy(c, in)
		asked <- err
	}()
	select {
	case err := <-answered: // the proxy hung up
		return err
	case err := <-asked:
		// Whoever asked is gone: what still waits for them in the proxy must end with them.
		_ = c.Close()
		<-answered
		return err
	}
}
