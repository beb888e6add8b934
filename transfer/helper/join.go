package helper

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"

	"ship/transfer/wire"
)

// Join joins the helper that runs in dir: in and out are the connection from now on, until both directions have ended.
// It is what the SSH sessions run that bring chunks to a helper.
func Join(ctx context.Context, dir string, j wire.Join, in io.Reader, out io.Writer) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", filepath.Join(dir, SocketName))
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if err := wire.SendJoin(c, j); err != nil {
		return err
	}
	// What comes from outside may stay open for good, so that its reader is not waited for: the process ends with us.
	go func() {
		_, _ = io.Copy(c, in)
		_ = c.(*net.UnixConn).CloseWrite() // the helper hangs up then
	}()
	_, err = io.Copy(out, c)
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}
