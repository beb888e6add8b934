package config

import (
	"net/netip"
	"strconv"
)

// metrics reads a port, which is one of the host's loopback, or an address with a port.
func (d decoder) metrics(n *node, path string, to *string) {
	if _, err := strconv.Atoi(n.text); n.kind == scalar && err == nil {
		port := 0
		if d.port(&port)(n, path); port > 0 {
			*to = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port)).String()
		}
		return
	}
	d.text(to, checkAddrPort)(n, path)
}

func checkAddrPort(s string) error {
	if a, err := netip.ParseAddrPort(s); err != nil || a.Port() == 0 {
		return hinted{"not a port", "a port of the loopback (9090), or with an address of the host (10.0.0.1:9090)"}
	}
	return nil
}
