package config

import (
	"errors"
	"strconv"
	"strings"
)

func checkProbeType(s string) error {
	if s != "http" && s != "tcp" && s != "grpc" {
		return hinted{"not a type of check", "http, grpc, or tcp for what speaks neither"}
	}
	return nil
}

func checkGRPCService(s string) error {
	if len(s) > 256 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return hinted{"not the name of a gRPC service", "as in shop.v1.Orders"}
	}
	return nil
}

// checkProbe refuses keys that mean nothing for the type of the check.
func (d decoder) checkProbe(n *node, path string, p *Probe) {
	refuse := func(why string, keys ...string) {
		for _, key := range keys {
			if v := n.get(key); v != nil {
				d.fail(v, join(path, key), "remove it, or the type", "%s", why)
			}
		}
	}
	switch p.Type {
	case "tcp":
		p.Path = ""
		refuse("a check over TCP only connects", "path", "host", "status", "service")
	case "grpc":
		p.Path = ""
		refuse("a check over gRPC asks the app's health service", "path", "status")
	default:
		if v := n.get("service"); v != nil {
			d.fail(v, join(path, "service"), "type: grpc", "only a check over gRPC has a service")
		}
	}
}

// statuses reads a status, a range of them, or a list of both.
func (d decoder) statuses(n *node, path string, to *[]string) {
	if n.kind == list {
		d.lines(to, checkStatus)(n, path)
		return
	}
	s := ""
	if d.text(&s, checkStatus)(n, path); s != "" {
		*to = []string{s}
	}
}

func checkStatus(s string) error {
	from, to, both := strings.Cut(s, "-")
	if !both {
		to = from
	}
	low, err1 := strconv.Atoi(from)
	high, err2 := strconv.Atoi(to)
	if err := errors.Join(err1, err2); err != nil || low < 100 || high > 599 || low > high {
		return hinted{"not a status", "one from 100 to 599, or a range as 200-299"}
	}
	return nil
}
