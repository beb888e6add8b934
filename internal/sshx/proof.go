package sshx

import (
	"net"
	"net/netip"
	"time"
)

// HostKey is the public key that the host proved to have, as on the wire.
func (c *Client) HostKey() []byte { return c.hops[len(c.hops)-1].key }

// RemoteAddr is where the connection to the host went, as its predecessor on the way sees it; zero where that is not
// known: behind a jump host that was given a name, and behind a ProxyCommand.
func (c *Client) RemoteAddr() netip.AddrPort { return c.hops[len(c.hops)-1].addr }

// Jumped tells whether the way leads through jump hosts or a ProxyCommand: what we measure of the first hop then says
// nothing about the host.
func (c *Client) Jumped() bool { return c.jumped }

// RTT is the shortest round trip seen so far between us and the host's sshd; 0 until the first, which is asked for as
// soon as the connection stands.
func (c *Client) RTT() time.Duration { return time.Duration(c.rtt.Load()) }

// took notes a round trip.
func (c *Client) took(d time.Duration) {
	for {
		old := c.rtt.Load()
		if old != 0 && old <= int64(d) || c.rtt.CompareAndSwap(old, max(1, int64(d))) {
			return
		}
	}
}

// remoteAddr is where conn goes: the address of a TCP connection, or of a channel if settings named one.
func remoteAddr(conn net.Conn, s settings, via *hop) netip.AddrPort {
	if via != nil {
		addr, err := netip.ParseAddr(s.host)
		if err != nil {
			return netip.AddrPort{} // a name, which the jump host looks up
		}
		return netip.AddrPortFrom(addr.Unmap(), uint16(s.port))
	}
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	a := tcp.AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
