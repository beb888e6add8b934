package sshx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"

	"ship/internal/plain"
)

// clientVersion is what sshd's log shows.
const clientVersion = "SSH-2.0-ship"

// hop is one SSH connection on the way.
type hop struct {
	ssh  *ssh.Client
	conn *meter // TCP for the first hop, a channel of the one before for others
	root *meter // the first hop's conn
	key  []byte // the host key that it proved to have, as on the wire
	addr netip.AddrPort
}

// handshake opens the connection and authenticates both sides.
func handshake(ctx context.Context, s settings, via *hop) (*hop, error) {
	trust, err := newTrust(s)
	if err != nil {
		return nil, err
	}
	login, err := newLogin(ctx, s)
	if err != nil {
		return nil, err
	}
	defer login.close()
	conn, err := dialHop(ctx, s, via)
	if err != nil {
		return nil, unreachable(ctx, s, err, false)
	}
	h := &hop{conn: newMeter(conn, nil), addr: remoteAddr(conn, s, via)}
	if h.root = h.conn; via != nil {
		h.root = via.root
	} else {
		h.conn.limit = s.limit // the others' bytes are in this one's
	}
	// x/crypto's own timeout covers TCP only, and a channel has no deadlines: closing is what ends a silent handshake.
	stop := context.AfterFunc(ctx, func() { _ = h.root.Close() })
	defer stop()
	cc, channels, requests, err := ssh.NewClientConn(h.conn, s.addr(), &ssh.ClientConfig{
		User: s.user, ClientVersion: clientVersion,
		Config: algorithms(hasAES()),
		HostKeyCallback: func(name string, addr net.Addr, key ssh.PublicKey) error {
			if h.key == nil { // later exchanges of keys come here again, while others read it
				h.key = key.Marshal()
			}
			return trust.check(name, addr, key)
		},
		HostKeyAlgorithms: trust.algorithms(),
		AuthCallback:      login.choose,
	})
	if err == nil && !stop() {
		cc.Close()
		err = context.Cause(ctx)
	}
	if err == nil {
		h.ssh = ssh.NewClient(cc, channels, requests)
		return h, nil
	}
	switch {
	case trust.refused != nil:
		return nil, trust.refused
	case login.asked && ctx.Err() == nil && !lost(err):
		return nil, login.refused(err)
	case !login.asked && ctx.Err() == nil && lost(err):
		if p, ok := conn.(interface{ lastWords() string }); ok && h.conn.read.Load() == 0 {
			return nil, &UnreachableError{Host: s.written, Err: errors.New("ProxyCommand ended: " + p.lastWords())}
		}
		err = h.conn.greeting.hungUp()
	}
	return nil, unreachable(ctx, s, err, true)
}

func dialHop(ctx context.Context, s settings, via *hop) (net.Conn, error) {
	if via != nil {
		// The context ends the wait, and closing the connection ends what waits behind it.
		defer context.AfterFunc(ctx, func() { _ = via.root.Close() })()
		return via.ssh.DialContext(ctx, "tcp", s.addr())
	}
	if s.proxy != "" {
		return dialCommand(s.proxy)
	}
	d := net.Dialer{Control: keepShort}
	if s.bind != "" {
		local, err := net.ResolveTCPAddr(s.network, net.JoinHostPort(s.bind, "0"))
		if err != nil {
			return nil, fmt.Errorf("BindAddress: %w", err)
		}
		d.LocalAddr = local
	}
	return d.DialContext(ctx, s.network, s.addr())
}

// unreachable says in words why a hop cannot be connected to; connected tells whether TCP was.
func unreachable(ctx context.Context, s settings, err error, connected bool) *UnreachableError {
	e := &UnreachableError{Host: s.written, Err: &reason{s.addr() + ": " + plainReason(err), err}}
	var dns *net.DNSError
	var closed *ssh.OpenChannelError
	var dropped *hungUpError
	switch {
	case ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded):
		text := fmt.Sprintf("no answer from %s within %s", s.addr(), s.connectTimeout)
		e.hint = "is it up, and are name and port right? a firewall that drops looks like this too"
		if connected {
			text = fmt.Sprintf("%s takes the connection, but does not answer within %s", s.addr(), s.connectTimeout)
			e.hint = "is that sshd? a host that is frozen or out of memory looks like this too"
		}
		e.Err = &reason{text, context.DeadlineExceeded}
	case errors.As(err, &dropped):
		e.hint = dropped.hint()
	case errors.As(err, &dns) && dns.IsNotFound:
		e.Err, e.hint = &reason{"no host has the name " + s.host, err}, "check the name, or give it a HostName in ssh_config"
	case errors.As(err, &closed) && closed.Reason == ssh.Prohibited:
		e.Err = &reason{"the jump host does not forward to " + s.addr(), err}
		e.hint = "the jump host's sshd_config needs AllowTcpForwarding local (or yes), and PermitOpen for this host"
	case errors.As(err, &closed):
		e.Err = &reason{"the jump host cannot reach " + s.addr() + ": " + plain.Text(closed.Message, 200), err}
	}
	return e
}

// plainReason is the cause in err without the layers around it.
func plainReason(err error) string {
	var no syscall.Errno
	switch {
	case err == nil:
		return "closed"
	case errors.As(err, &no):
		return no.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the other side closed the connection"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer"
	}
	text := plain.Text(err.Error(), 300)
	for _, noise := range []string{"ssh: handshake failed: ", "ssh: "} {
		text = strings.TrimPrefix(text, noise)
	}
	return text
}

// lost tells a connection that broke from a hop that said no.
func lost(err error) bool {
	var no syscall.Errno
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &no)
}
