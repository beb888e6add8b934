package helper

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"ship/transfer/chunk"
	"ship/transfer/place"
	"ship/transfer/wire"
)

// joinPatience is how long a connection may take to say who it is.
const joinPatience = 10 * time.Second

// accept serves the connections that join, until the listener is closed.
func (s *session) accept(ctx context.Context, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.tasks.Go(func() {
			stop := context.AfterFunc(ctx, func() { _ = c.Close() })
			defer stop()
			err := s.joined(ctx, c)
			_ = c.Close() // whoever is on the other side sees the end
			if err != nil && ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "join:", err)
			}
		})
	}
}

func (s *session) joined(ctx context.Context, c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(joinPatience)) // a unix socket has deadlines
	j, err := wire.ReadJoin(c)
	if err != nil {
		return err
	}
	if j.Run != s.hello.Run {
		return fmt.Errorf("run %.40q is not ours", j.Run)
	}
	if j.Role == wire.RoleLeave {
		s.stop(errReplaced)
		return nil
	}
	if err := greetings(c); err != nil {
		return err
	}
	_ = c.SetDeadline(time.Time{})
	switch j.Role {
	case wire.RoleData:
		return s.receive(wire.NewConn(c))
	case wire.RolePeer:
		return s.node.Link(ctx, j.Name, c)
	}
	return fmt.Errorf("role %.40q is not known", j.Role)
}

// errReplaced: the controller has lost its line to this helper and started another.
var errReplaced = errors.New("another helper of the run takes over")

// leavePatience is how long a helper that is replaced may take to end.
const leavePatience = 5 * time.Second

// replace makes the helper of the same run that serves dir end, so that its chunks are free.
func replace(ctx context.Context, dir, run string) {
	defer func() { _ = os.RemoveAll(dir) }() // one that was killed has left it
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", filepath.Join(dir, SocketName))
	if err != nil {
		return // it has ended
	}
	defer c.Close()
	if wire.SendJoin(c, wire.Join{Run: run, Role: wire.RoleLeave}) != nil {
		return
	}
	for deadline := time.Now().Add(leavePatience); time.Now().Before(deadline); {
		if _, err := os.Stat(dir); err != nil { // the last thing that it does
			return
		}
		select {
		case <-time.After(leavePatience / 50):
		case <-ctx.Done():
			return
		}
	}
}

func greetings(c io.ReadWriter) error {
	if err := wire.Greet(c); err != nil {
		return err
	}
	_, err := wire.Greeted(c)
	return err
}

// receive takes chunks from the controller.
func (s *session) receive(c *wire.Conn) error {
	for {
		k, p, err := c.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if k != wire.KindChunk {
			return fmt.Errorf("%w: kind %d among chunks", wire.ErrFrame, k)
		}
		x, err := wire.ParseChunk(p)
		if err != nil {
			return err
		}
		err = s.node.Put(x.Blob, int(x.Index), x.Data)
		if errors.Is(err, chunk.ErrClosed) || errors.Is(err, chunk.ErrUnknown) {
			continue // it was on its way when the blob was dropped or opened again
		}
		if err != nil {
			if err := s.failed(x.Blob, err); err != nil {
				return err
			}
		}
	}
}

// link joins the helper of another host and exchanges chunks with it while that lasts.
func (s *session) link(ctx context.Context, p wire.Peer) {
	err := func() error {
		c, err := s.dialPeer(ctx, p)
		if err != nil {
			return err
		}
		defer c.Close()
		stop := context.AfterFunc(ctx, func() { _ = c.Close() })
		defer stop()
		timer := time.AfterFunc(joinPatience, func() { _ = c.Close() })
		err = greetings(c)
		if !timer.Stop() || err != nil {
			return errors.Join(errors.New("the helper there does not answer"), err)
		}
		if err := s.control.SendJSON(wire.KindLinked, wire.Linked{Peer: p.Name, Up: true}); err != nil {
			return err
		}
		return s.node.Link(ctx, p.Name, c)
	}()
	if ctx.Err() == nil {
		s.tell(wire.KindLinked, wire.Linked{Peer: p.Name, Error: reason(err)})
	}
}

// place gives another host the helper program.
func (s *session) place(ctx context.Context, p wire.Peer) {
	err := func() error {
		spec, err := peerSpec(p)
		if err != nil {
			return err
		}
		f, err := os.Open(s.Program)
		if err != nil {
			return err
		}
		defer f.Close()
		r, w := io.Pipe()
		defer func() { _ = r.Close() }() // never fails
		s.tasks.Go(func() {
			z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
			if err == nil {
				_, err = io.Copy(z, f)
				err = errors.Join(err, z.Close())
			}
			_ = w.CloseWithError(err) // never fails
		})
		return place.PlaceOnPeer(ctx, spec, r)
	}()
	s.tell(wire.KindPlaced, wire.Linked{Peer: p.Name, Up: err == nil, Error: reason(err)})
}

// tell says something to the controller; if that fails the session is at its end anyway.
func (s *session) tell(k wire.Kind, v any) {
	if err := s.control.SendJSON(k, v); err != nil {
		s.stop(err)
	}
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (s *session) dialPeer(ctx context.Context, p wire.Peer) (net.Conn, error) {
	spec, err := peerSpec(p)
	if err != nil {
		return nil, err
	}
	return place.DialPeer(ctx, spec)
}

func peerSpec(p wire.Peer) (place.PeerSpec, error) {
	spec := place.PeerSpec{Name: p.Name, User: p.User, HostKey: p.HostKey, Key: p.Key}
	for _, a := range p.Addrs {
		addr, err := netip.ParseAddrPort(a)
		if err != nil {
			return spec, fmt.Errorf("peer %s: %w", p.Name, err)
		}
		spec.Addrs = append(spec.Addrs, addr)
	}
	return spec, nil
}
