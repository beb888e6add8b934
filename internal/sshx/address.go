package sshx

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// address is a spec in its parts; user "" and port 0 are not said.
type address struct {
	user, host string
	port       int
}

// parseAddress reads [user@]host[:port], the same with ssh:// before it, or an IPv6 address, in brackets if a port
// follows. Characters that no host name and no user name has are refused, since both end in a local command line.
func parseAddress(spec string) (address, error) {
	var a address
	rest := strings.TrimSuffix(strings.TrimPrefix(spec, "ssh://"), "/")
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		a.user, rest = rest[:i], rest[i+1:]
		if !plainName(strings.ReplaceAll(a.user, "@", "")) { // a directory login: anna@corp.example
			return a, fmt.Errorf("host %q: not a user name: %q", spec, a.user)
		}
	}
	host, port := rest, ""
	switch colons := strings.Count(rest, ":"); {
	case strings.HasPrefix(rest, "["):
		end := strings.IndexByte(rest, ']')
		if end < 0 || net.ParseIP(zoneless(rest[1:end])) == nil {
			return a, fmt.Errorf("host %q: not an address in brackets", spec)
		}
		host, port = rest[1:end], rest[end+1:]
		if port != "" && (port[0] != ':' || len(port) == 1) {
			return a, fmt.Errorf("host %q: not a port: %q", spec, port)
		}
		port = strings.TrimPrefix(port, ":")
	case colons == 1:
		host, port, _ = strings.Cut(rest, ":")
		if port == "" {
			return a, fmt.Errorf("host %q: no port after the colon", spec)
		}
	case colons > 1 && net.ParseIP(zoneless(rest)) == nil:
		return a, fmt.Errorf("host %q: neither host:port nor an IPv6 address", spec)
	}
	if !plainName(host) {
		return a, fmt.Errorf("host %q: not a host name", spec)
	}
	a.host = host
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return a, fmt.Errorf("host %q: not a port: %q", spec, port)
		}
		a.port = int(n)
	}
	return a, nil
}

// parseJump reads the value of ProxyJump: hops in the order of travel, none for "" and "none".
func parseJump(value string) ([]string, error) {
	if value == "" || strings.EqualFold(value, "none") {
		return nil, nil
	}
	hops := strings.Split(value, ",")
	for i, h := range hops {
		hops[i] = strings.TrimSpace(h)
		if _, err := parseAddress(hops[i]); err != nil {
			return nil, fmt.Errorf("jump: %w", err)
		}
	}
	return hops, nil
}

// plainName tells names that mean themselves to every shell and to ssh's own argument parser.
func plainName(name string) bool {
	if name == "" || len(name) > 255 || name[0] == '-' {
		return false
	}
	for _, r := range name {
		if r <= ' ' || r == 0x7f || strings.ContainsRune("'`\"$\\;&<>|(){}@/#!", r) {
			return false
		}
	}
	return true
}

func zoneless(ip string) string {
	ip, _, _ = strings.Cut(ip, "%")
	return ip
}
