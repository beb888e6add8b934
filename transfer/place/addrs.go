package place

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// LocalAddrs are the addresses by which other hosts may reach this one, and which they may see it come from: all but
// loopback, link-local ones, and those of bridges that containers and virtual machines hang on.
func LocalAddrs() []netip.Addr {
	ifs, err := net.Interfaces()
	if err != nil {
		return nil // a host without addresses has no peers
	}
	var out []netip.Addr
	for _, i := range ifs {
		if i.Flags&net.FlagUp == 0 || isBridge(i.Name) {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // it is gone
		}
		for _, a := range addrs {
			n, err := netip.ParsePrefix(a.String())
			if ip := n.Addr().Unmap(); err == nil && ip.IsGlobalUnicast() && !slices.Contains(out, ip) {
				out = append(out, ip)
			}
		}
	}
	return out
}

// isBridge tells by their names the bridges that programs make. A bridge of another name may be the host's own line.
func isBridge(name string) bool {
	return slices.ContainsFunc([]string{"docker", "br-", "veth", "virbr", "lxcbr", "lxdbr", "incusbr", "cni", "podman", "flannel", "cali"},
		func(p string) bool { return strings.HasPrefix(name, p) })
}
