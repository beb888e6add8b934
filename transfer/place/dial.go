package place

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"
)

// dialled is an address that answered, or did not.
type dialled struct {
	conn net.Conn
	err  error
}

// loggedIn is how a login on one of them ended.
type loggedIn struct {
	conn *conn
	err  error
}

// dial connects to all addresses at once and logs in on the first that turns out to be the host. Logins come one after
// another as long as they get on: sshd drops those beyond MaxStartups and punishes those that break off.
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
	d := dialling{waiting: len(addrs), dials: make(chan dialled, len(addrs)), logins: make(chan loggedIn, len(addrs))}
	for _, a := range addrs {
		go func() {
			c, err := connect(ctx, a)
			d.dials <- dialled{c, err} // it has room
		}()
	}
	won, err := d.run(ctx, func(c net.Conn) {
		s, err := login(ctx, c, config, command)
		d.logins <- loggedIn{s, err} // it has room
	})
	cancel()
	d.drain()
	return won, err
}

// dialling is a race for one host. Each goroutine of it sends one value to a channel that has room for it.
type dialling struct {
	dials  chan dialled
	logins chan loggedIn

	waiting int // for values in dials
	running int // logins under way
	queue   []net.Conn
	errs    []error
}

// run returns the first login, or why there is none.
func (d *dialling) run(ctx context.Context, login func(net.Conn)) (*conn, error) {
	next := time.NewTimer(stagger)
	defer next.Stop()
	for d.waiting+d.running+len(d.queue) > 0 {
		if d.running == 0 && len(d.queue) > 0 {
			d.start(login)
			next.Reset(stagger)
		}
		select {
		case c := <-d.dials:
			if d.waiting--; c.err != nil {
				d.errs = append(d.errs, c.err)
			} else {
				d.queue = append(d.queue, c.conn)
			}
		case l := <-d.logins:
			if d.running--; l.err == nil {
				return l.conn, nil
			}
			d.errs = append(d.errs, l.err)
		case <-next.C:
			if len(d.queue) > 0 {
				d.start(login)
			}
			next.Reset(stagger)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return nil, errors.Join(d.errs...)
}

func (d *dialling) start(login func(net.Conn)) {
	c := d.queue[0]
	d.queue = d.queue[1:]
	d.running++
	go login(c)
}

// drain waits for all goroutines, whose context has ended, and closes what they opened.
func (d *dialling) drain() {
	for _, c := range d.queue {
		_ = c.Close() // nothing was said over it
	}
	for ; d.waiting > 0; d.waiting-- {
		if c := <-d.dials; c.err == nil {
			_ = c.conn.Close() // nothing was said over it
		}
	}
	for ; d.running > 0; d.running-- {
		if l := <-d.logins; l.err == nil {
			_ = l.conn.Close() // another one won
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
