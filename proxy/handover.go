package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// How long a hand-over may take. Requests do not wait for any of it.
const (
	offerPatience = 5 * time.Second  // of a successor, for the offer; then it goes on alone
	readyPatience = 15 * time.Second // of a proxy, for its successor to be ready; then it keeps its place
	donePatience  = 20 * time.Second // of a successor that is ready; then it gives up
)

// handoverSocket is where a proxy waits for its successor.
func handoverSocket(dir string) string { return filepath.Join(dir, "handover.sock") }

// listenUnix listens at path, in place of whoever did so before: nobody meets a path without a listener.
func listenUnix(path string) (*net.UnixListener, error) {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // by then the path may be another's
	err = os.Chmod(tmp, 0o600)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// predecessor is the proxy that serves until now, as its successor sees it. All methods may be called on nil: then
// there is none.
type predecessor struct {
	link      handoverLink
	listeners map[handedListener]net.Listener
	prepared  []handedTarget
}

// findPredecessor asks the proxy that uses the folder to hand over. It returns nil and an error if there is one that
// does not, and nil alone if there is none.
func findPredecessor(ctx context.Context, dir, instance string) (*predecessor, error) {
	end := time.Now().Add(offerPatience)
	for {
		p, err := askPredecessor(ctx, dir, instance, end)
		switch {
		case err == nil:
			return p, nil
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
			return nil, nil
		case !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE), time.Now().After(end), ctx.Err() != nil:
			return nil, fmt.Errorf("the proxy that runs does not hand over: %w", err)
		}
		// It has just handed over to another one, or died: look again.
		pause(ctx, lockPoll)
	}
}

func askPredecessor(ctx context.Context, dir, instance string, deadline time.Time) (*predecessor, error) {
	d := net.Dialer{Deadline: deadline}
	c, err := d.DialContext(ctx, "unix", handoverSocket(dir))
	if err != nil {
		return nil, err
	}
	p := &predecessor{link: handoverLink{c.(*net.UnixConn)}, listeners: map[handedListener]net.Listener{}}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	var o offer
	var files []*os.File
	err = c.SetDeadline(deadline)
	if err == nil {
		err = p.link.send(hello{instance})
	}
	if err == nil {
		files, err = p.link.receive(&o)
	}
	defer closeAll(files) // net.FileListener takes copies
	if err == nil && len(files) != len(o.Listeners) {
		err = fmt.Errorf("%d sockets came for %d names", len(files), len(o.Listeners))
	}
	for i := 0; err == nil && i < len(files); i++ {
		p.listeners[o.Listeners[i]], err = net.FileListener(files[i])
	}
	if err != nil {
		p.close()
		return nil, err
	}
	p.prepared = o.Prepared
	return p, nil
}

// take returns the socket that listens where it is wanted, nil if none does.
func (p *predecessor) take(key handedListener) net.Listener {
	if p == nil {
		return nil
	}
	l := p.listeners[key]
	delete(p.listeners, key)
	return l
}

// relieve tells the predecessor that all is ready here, and returns when it has taken notice: from then on this process
// serves. On an error the predecessor goes on. One that died on the way is relieved all the same.
func (p *predecessor) relieve() error {
	if p == nil {
		return nil
	}
	err := p.link.SetDeadline(time.Now().Add(donePatience))
	if err == nil {
		err = p.link.send(verdict{sayReady})
	}
	var v verdict
	if err == nil || errors.Is(err, syscall.EPIPE) { // what it said before it went away is still to be read
		_, err = p.link.receive(&v)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) { // no word can arrive after this, but one may be there
		err = errors.Join(p.link.CloseRead(), p.link.SetDeadline(time.Now().Add(time.Second)))
		if _, e := p.link.receive(&v); err == nil && e != nil {
			err = errors.New("the proxy that runs does not answer")
		}
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return nil // it never closes the connection in silence while it lives
	case err != nil:
		return fmt.Errorf("take over: %w", err)
	case v.Say != sayDone:
		return errors.New("take over: this took too long, and the proxy that runs goes on")
	}
	return nil
}

// close gives up what was not taken.
func (p *predecessor) close() {
	if p == nil {
		return
	}
	closeListeners(p.listeners)
	_ = p.link.Close()
}
