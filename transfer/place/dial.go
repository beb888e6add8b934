package place

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// attempt is news of one address: a TCP connection is there, or the login has ended.
type attempt struct {
	connected bool
	conn      *conn
	err       error
}

// dial logs in by the first address that turns out to be the host. The next one is tried when one fails, or keeps us
// waiting: not all at once, for sshd drops connections that are not logged in beyond MaxStartups, of all peers together,
// and a host's addresses lead to the same sshd.
func dial(ctx context.Context, p PeerSpec, command string) (*conn, error) {
	config, err := p.config()
	if err != nil {
		return nil, err
	}
	addrs := others(p.Addrs, LocalAddrs())
	if len(addrs) == 0 {
		return nil, errors.New("no address")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := dialling{addrs: addrs, news: make(chan attempt, 2*len(addrs))}
	won, err := d.run(ctx, func(a netip.AddrPort) {
		s, err := try(ctx, a, config, command, func() { d.news <- attempt{connected: true} }) // it has room
		d.news <- attempt{conn: s, err: err}                                                  // it has room
	})
	cancel()
	d.drain()
	return won, err
}

// dialling is a race for one host.
type dialling struct {
	addrs   []netip.AddrPort // not tried yet
	news    chan attempt     // with room for all
	running int
}

// run returns the first login, or why there is none.
func (d *dialling) run(ctx context.Context, begin func(netip.AddrPort)) (*conn, error) {
	var failed error
	next := time.NewTimer(0)
	defer next.Stop()
	for d.running+len(d.addrs) > 0 {
		select {
		case <-next.C:
			if len(d.addrs) > 0 {
				a := d.addrs[0]
				d.addrs = d.addrs[1:]
				d.running++
				go begin(a)
				next.Reset(connectStagger)
			}
		case n := <-d.news:
			switch {
			case n.connected:
				next.Reset(loginStagger)
				continue
			case n.err == nil:
				d.running--
				return n.conn, nil
			case failed == nil:
				failed = n.err
			default:
				failed = fmt.Errorf("%w; %w", failed, n.err)
			}
			d.running--
			next.Reset(0)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return nil, failed
}

// drain waits for all attempts, whose context has ended, and closes what they opened.
func (d *dialling) drain() {
	for d.running > 0 {
		n := <-d.news
		if n.connected {
			continue
		}
		if d.running--; n.err == nil {
			_ = n.conn.Close() // another one won
		}
	}
}

// others drops addresses that are our own: hosts have the same addresses on networks of their own, of containers or
// virtual machines, and would reach themselves. If there are no others, ours are tried.
func others(addrs []netip.AddrPort, own []netip.Addr) []netip.AddrPort {
	var out []netip.AddrPort
	for _, a := range addrs {
		if !slices.Contains(own, a.Addr().Unmap()) {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return addrs
	}
	return out
}

// try logs in by one address, and tells when TCP is there. It comes back where sshd hangs up without a word, as it does
// by chance when many log in at once.
func try(ctx context.Context, a netip.AddrPort, config *ssh.ClientConfig, command string, connected func()) (*conn, error) {
	for n := 1; ; n++ {
		c, err := connect(ctx, a)
		if err != nil {
			return nil, err
		}
		if n == 1 {
			connected()
		}
		s, err := login(ctx, c, config, command)
		if err == nil || n == maxTries || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			return s, err
		}
		select {
		case <-time.After(time.Duration(n)*pause + rand.N(pause)):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func connect(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Timeout: connectPatience, Control: quick,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: quiet / 3, Interval: quiet / 3, Count: 3}}
	return d.DialContext(ctx, "tcp", a.String())
}

// login makes c an SSH connection with a command that runs. It closes c on an error.
func login(ctx context.Context, c net.Conn, config *ssh.ClientConfig, command string) (*conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	_ = c.SetDeadline(time.Now().Add(loginPatience)) // a TCP connection has deadlines
	s, err := start(c, config, command)
	if err == nil && !stop() {
		_ = s.Close() // it came too late
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = c.Close() // closed, or to be
		return nil, fmt.Errorf("log in to %s: %w", c.RemoteAddr(), err)
	}
	_ = c.SetDeadline(time.Time{})
	return s, nil
}

func start(c net.Conn, config *ssh.ClientConfig, command string) (*conn, error) {
	client, chans, reqs, err := ssh.NewClientConn(c, c.RemoteAddr().String(), config)
	if err != nil {
		return nil, err
	}
	s := &conn{Conn: c, client: client}
	s.tasks.Go(func() { ssh.DiscardRequests(reqs) })
	s.tasks.Go(func() {
		for n := range chans {
			_ = n.Reject(ssh.Prohibited, "") // an error means that the connection is over
		}
	})
	if err := s.exec(command); err != nil {
		_ = s.Close() // the error that counts is the other one
		return nil, err
	}
	return s, nil
}
