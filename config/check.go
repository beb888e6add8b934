package config

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"unicode"
)

const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// checkName is for what becomes part of container and file names: services, roles, destinations.
func checkName(s string) error {
	rest := strings.TrimLeft(s, "abcdefghijklmnopqrstuvwxyz0123456789_-")
	switch {
	case s == "" || rest != "" || s[0] == '-' || s[0] == '_':
		return hinted{"not a usable name", "small letters, digits, - and _, beginning with a letter or a digit"}
	case len(s) > 40:
		return errors.New("longer than 40 characters")
	}
	return nil
}

// checkHost is for what is given to ssh: user@name:port or an alias. A leading - would be taken for an option.
func checkHost(s string) error {
	user, name, found := strings.Cut(s, "@")
	if !found {
		name = s
	}
	switch {
	case len(s) > 255:
		return errors.New("longer than 255 characters")
	case strings.ContainsFunc(s, unicode.IsSpace):
		return hinted{"a host has no spaces", "one host is one entry of the list"}
	case found && user == "" || name == "" || strings.HasPrefix(name, ":"):
		return hinted{"not a host", "user@name:port, or an alias of ssh_config"}
	case strings.HasPrefix(s, "-") || strings.HasPrefix(name, "-"):
		return errors.New("a host does not begin with -")
	case strings.Contains(s, "://"):
		return hinted{"not a host", "without ssh://"}
	case strings.ContainsAny(s, `"'\,;&|$<>()*?!/{}`+"`"):
		return errors.New("a character that no host name has")
	}
	return nil
}

// checkDomain is for names in the Host header: a name, an address, or *.name.
func checkDomain(s string) error {
	name := strings.TrimPrefix(s, "*.")
	switch {
	case len(s) > 253:
		return errors.New("longer than 253 characters")
	case strings.Contains(s, "://") || strings.Contains(s, "/"):
		return hinted{"not a host name", "the name alone, as in shop.example.com"}
	case strings.Contains(s, "*") && (name == s || strings.Contains(name, "*")):
		return hinted{"not a host name", "a * stands alone at the beginning, as in *.example.com"}
	case strings.Contains(s, ":"):
		return hinted{"not a host name", "without a port"}
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.Trim(label, alphanumeric+"-_") != "" || len(label) > 63 {
			return hinted{"not a host name", "letters, digits and -, as in shop.example.com; other scripts as xn--..."}
		}
	}
	return nil
}

// checkNetwork is for trusted_proxies.
func checkNetwork(s string) error {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" && !a.Is4In6() {
		return nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || p.Addr().Is4In6():
		return hinted{"not a network", "an address with the bits that count, as in 10.0.0.0/8, or one address"}
	case p != p.Masked():
		return hinted{"it has bits beyond the network", p.Masked().String()}
	}
	return nil
}

// checkURLPath is for path_prefix and the probe's path.
func checkURLPath(s string) error {
	switch {
	case !strings.HasPrefix(s, "/"):
		return errors.New("a path begins with /")
	case strings.ContainsFunc(s, unicode.IsSpace) || strings.Contains(s, "#"):
		return errors.New("a path has no spaces and no #")
	}
	return nil
}

// checkFrom is for a path that is redirected, as it is compared: decoded, and without a query.
func checkFrom(s string) error {
	if !strings.HasPrefix(s, "/") || len(s) > 1024 || strings.ContainsAny(s, "?#*") || strings.ContainsFunc(s, controls) {
		return hinted{"not a path", "one path, without a query, as in /old"}
	}
	return nil
}

// checkMoved is for where a redirect leads.
func checkMoved(s string) error {
	u, err := url.Parse(s)
	ok := err == nil && len(s) <= 1024 && !strings.Contains(s, `\`) && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
	here := ok && u.Scheme == "" && u.Host == "" && strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//")
	there := ok && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
	if !here && !there {
		return hinted{"leads nowhere", "a path, as in /new, or an address, as in https://example.com/new"}
	}
	return nil
}

func checkPrefix(s string) error {
	if strings.ContainsAny(s, "?*") || s != "/" && path.Clean(s) != strings.TrimSuffix(s, "/") {
		return errors.New("a prefix is a plain path, as in /api")
	}
	return checkURLPath(s)
}

func checkImage(s string) error {
	switch {
	case s != strings.TrimSpace(s):
		return errors.New("spaces at the beginning or end")
	case strings.Contains(s, "$"):
		return hinted{"a $ in it", "variables are written ${NAME}"}
	case strings.HasPrefix(s, "-"):
		return errors.New("an image does not begin with -")
	}
	return nil
}

// checkHostKey is for a public key as in known_hosts or authorized_keys, without a comment.
func checkHostKey(s string) error {
	words := strings.Fields(s)
	if len(words) < 2 {
		return hinted{"not a host key", `"ssh-ed25519 AAAA..." as ssh-keyscan prints it, without the host`}
	}
	blob, err := base64.StdEncoding.DecodeString(words[1])
	// the blob begins with the length and the name of the algorithm
	if n := len(words[0]); err != nil || len(blob) < 4+n || string(blob[4:4+n]) != words[0] {
		return hinted{"not a host key", `"ssh-ed25519 AAAA..." as ssh-keyscan prints it, without the host`}
	}
	return nil
}

// checkVariable is for names in an environment. Engines take more than shells do; = and NUL are what none takes.
func checkVariable(s string) error {
	if !isKey(s) {
		return errors.New("not a name of a variable")
	}
	switch s {
	case "SHIP_SERVICE", "SHIP_ROLE", "SHIP_HOST", "SHIP_VERSION", "SHIP_REPLICA":
		return errors.New("ship itself sets this variable")
	}
	return nil
}

// isKey says whether s can stand before a = in an environment or a label.
func isKey(s string) bool {
	bad := func(r rune) bool { return r == '=' || unicode.IsSpace(r) || controls(r) }
	return s != "" && !strings.ContainsFunc(s, bad)
}

func checkLabel(s string) error {
	switch {
	case !isKey(s):
		return errors.New("not a name of a label")
	case strings.HasPrefix(s, "ship."):
		return errors.New("labels that begin with ship. are ship's own")
	}
	return nil
}
