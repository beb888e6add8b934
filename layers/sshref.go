package layers

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// sshUser and sshHost keep out what ssh would take for an option, and what a shell would take apart.
var (
	sshUser = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.\\+-]*$`)
	sshHost = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$`)
)

// sshRef takes [user@]HOST[:port]/REF. HOST may be an alias of ssh_config, or an IPv6 address in brackets.
func sshRef(s, rest string) (Ref, error) {
	spec, name, _ := strings.Cut(rest, "/")
	if user, _, ok := strings.Cut(spec, "@"); ok && strings.Contains(user, ":") {
		return Ref{}, fmt.Errorf("image source ssh://...@%.100s: a password has no place in it", spec[strings.LastIndex(spec, "@")+1:])
	}
	if err := checkSSH(spec); err != nil {
		return Ref{}, fmt.Errorf("image %.200q: %w; write ssh://[user@]HOST[:port]/REF", s, err)
	}
	if name == "" {
		return Ref{}, fmt.Errorf("image %.200q: the image's name is missing; write ssh://%s/REF", s, spec)
	}
	r, err := daemonRef(s, name)
	if err != nil {
		return Ref{}, fmt.Errorf("image %.200q: %w", s, err)
	}
	return Ref{Transport: TransportSSH, Path: spec, Name: r.Name}, nil
}

func checkSSH(spec string) error {
	host := spec
	if user, rest, ok := strings.Cut(spec, "@"); ok {
		if !sshUser.MatchString(user) {
			return fmt.Errorf("invalid user %.40q", user)
		}
		host = rest
	}
	name, port, withPort := strings.Cut(host, ":")
	if literal, rest, ok := strings.Cut(host, "]"); ok && strings.HasPrefix(literal, "[") {
		address, err := netip.ParseAddr(literal[1:])
		if err != nil || !address.Is6() || address.Zone() != "" && !sshHost.MatchString(address.Zone()) {
			return fmt.Errorf("invalid IPv6 address %.60q", literal+"]")
		}
		name = "ipv6"
		if port, withPort = strings.CutPrefix(rest, ":"); !withPort && rest != "" {
			return fmt.Errorf("invalid host %.100q", host)
		}
	}
	switch {
	case strings.Contains(port, ":"):
		return fmt.Errorf("an IPv6 address needs brackets: [%.60s]", host)
	case name == "":
		return errors.New("the host is missing")
	case !sshHost.MatchString(name) || len(name) > 255:
		return fmt.Errorf("invalid host %.100q", name)
	case withPort:
		return checkPort(port)
	}
	return nil
}

func checkPort(s string) error {
	if n, err := strconv.ParseUint(s, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("invalid port %.20q", s)
	}
	return nil
}
