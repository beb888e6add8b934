package config

import (
	"net/netip"
	"strconv"
	"strings"
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

// checkMetrics refuses a port that the proxy has for requests: it listens for those on all addresses.
func (d decoder) checkMetrics(n *node, path string, run ProxyRun) {
	a, err := netip.ParseAddrPort(run.MetricsAddr)
	if n == nil || err != nil {
		return
	}
	for key, port := range map[string]int{"http_port": run.HTTPPort, "https_port": run.HTTPSPort} {
		if int(a.Port()) == port {
			d.fail(n, path, "give each its own", "%s and metrics_port are the same", key)
		}
	}
}

// accessLog reads on, off, or how much of the log is wanted.
func (d decoder) accessLog(n *node, path string, to *float64) {
	if n.kind == mapping {
		text := ""
		d.section(n, path, "proxy.run.access_log", keys{"sample": d.text(&text, checkShare)})
		if v, ok := share(text); ok {
			*to = v
		}
		return
	}
	switch s, ok := d.scalar(n, path, "on, off or a map"); {
	case !ok:
	case s == "on" || s == "true":
		*to = 100
	case s == "off" || s == "false":
		*to = 0
	default:
		d.fail(n, path, "part of it is {sample: 10%}", "expected on, off or a map, got %s", n.what())
	}
}

func checkShare(s string) error {
	if _, ok := share(s); !ok {
		return hinted{"not a share", "a percentage above 0 and up to 100, as in 10% or 0.5%"}
	}
	return nil
}

// share reads "10%".
func share(s string) (percent float64, ok bool) {
	text, ok := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(text, 64)
	return v, ok && err == nil && v > 0 && v <= 100
}
