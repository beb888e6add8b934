package sshx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/user"
	"strconv"
	"strings"
	"time"
)

const (
	defaultConnect   = 10 * time.Second
	defaultKeepAlive = 5 * time.Second
	defaultPort      = 22
	maxHops          = 8 // jump hosts that name jump hosts, before we call it a loop
)

// settings is all that is needed to open one hop, from every source, in order of precedence.
type settings struct {
	written string // the host as a person wrote it: the name in messages and of pins

	host, user string
	port       int
	network    string // tcp, tcp4, tcp6
	bind       string // local address, or ""
	jump       []string
	proxy      string // ProxyCommand, expanded; "" = none

	identities     []string // -i
	configured     []string // IdentityFile: those that exist are used
	certificates   []string
	identitiesOnly bool
	agent          string // path of the agent's socket; "" = none

	knownHosts []string
	required   bool // knownHosts were asked for by Options: one that is missing is an error
	keyAlias   string
	pin        string
	lax        string // what ssh_config says of StrictHostKeyChecking, if that is weaker than yes

	connectTimeout, keepAlive time.Duration

	limit *Limiter // of what is sent; nil = none
}

// addr is what to connect to.
func (s settings) addr() string { return net.JoinHostPort(s.host, strconv.Itoa(s.port)) }

// route resolves spec into the hops to it: jump hosts in the order of travel, the host itself last. client is the path
// of ssh, "" without one.
func route(ctx context.Context, spec string, o Options, client string) ([]settings, error) {
	target, err := resolve(ctx, spec, o, client)
	if err != nil {
		return nil, err
	}
	via := o
	via.User, via.Port, via.Jump = "", 0, "" // these are about the host
	before, err := jumps(ctx, target, via, client, maxHops)
	if err != nil {
		return nil, err
	}
	return append(before, target), nil
}

// jumps resolves the hops before s. As with ssh, only the first of a list is reached through its own ProxyJump: of the
// others the list says how to get there.
func jumps(ctx context.Context, s settings, o Options, client string, left int) ([]settings, error) {
	var out []settings
	for i, spec := range s.jump {
		hop, err := resolve(ctx, spec, o, client)
		if err != nil {
			return nil, fmt.Errorf("jump host of %s: %w", s.written, err)
		}
		if left == 0 {
			return nil, fmt.Errorf("jump host of %s: more than %d in a row, a loop?", s.written, maxHops)
		}
		if i == 0 {
			if out, err = jumps(ctx, hop, o, client, left-1); err != nil {
				return nil, err
			}
		}
		out = append(out, hop)
	}
	return out, nil
}

// resolve finds the settings of one hop.
func resolve(ctx context.Context, spec string, o Options, client string) (settings, error) {
	a, err := parseAddress(spec)
	if err != nil {
		return settings{}, err
	}
	entries, err := lookup(ctx, a, o, client)
	if err != nil {
		return settings{}, fmt.Errorf("ssh_config for %s: %w", a.host, err)
	}
	s, err := fromEntries(a, o, entries)
	if err != nil {
		return settings{}, fmt.Errorf("ssh_config for %s: %w", a.host, err)
	}
	s.pin, err = pinFor(s, o.HostKeys)
	return s, err
}

// pinFor finds the pin of a hop: by the host as written, with its port first. ssh writes a ProxyJump in its own way, so
// that names are compared in their parts.
func pinFor(s settings, pins map[string]string) (string, error) {
	found := ""
	for name, pin := range pins {
		a, err := parseAddress(name)
		if err != nil {
			return "", fmt.Errorf("host keys: %w", err)
		}
		if !strings.EqualFold(a.host, s.written) || a.port != 0 && a.port != s.port {
			continue
		}
		if a.port != 0 {
			return pin, nil
		}
		found = pin
	}
	return found, nil
}

// fromEntries turns what ssh_config says into settings.
func fromEntries(a address, o Options, e entries) (settings, error) {
	if v := e.one("revokedhostkeys"); v != "" && v != "none" {
		return settings{}, errors.New("RevokedHostKeys is not supported: use @revoked in known_hosts")
	}
	port, err := strconv.ParseUint(e.one("port"), 10, 16)
	if err != nil || port == 0 {
		return settings{}, fmt.Errorf("not a port: %q", e.one("port"))
	}
	s := settings{
		written: a.host, host: e.one("hostname"), user: e.one("user"), port: int(port),
		network:        map[string]string{"inet": "tcp4", "inet6": "tcp6"}[e.one("addressfamily")],
		bind:           e.one("bindaddress"),
		identities:     o.Identities,
		identitiesOnly: yes(e.one("identitiesonly")),
		keyAlias:       e.one("hostkeyalias"),
		connectTimeout: pick(o.ConnectTimeout, seconds(e.one("connecttimeout")), defaultConnect),
		keepAlive:      o.KeepAlive,
		limit:          o.Limit,
	}
	if s.network == "" {
		s.network = "tcp"
	}
	if s.keepAlive == 0 {
		s.keepAlive = defaultKeepAlive
		if d := seconds(e.one("serveraliveinterval")); d > 0 {
			s.keepAlive = min(s.keepAlive, d)
		}
	}
	switch v := e.one("stricthostkeychecking"); v {
	case "no", "off", "false":
		s.lax = "no"
	case "accept-new":
		s.lax = v
	}
	if s.jump, err = parseJump(e.one("proxyjump")); err != nil {
		return settings{}, err
	}
	return s.withFiles(o, e, a)
}

// withFiles fills in what names files: tokens and ~ expanded.
func (s settings) withFiles(o Options, e entries, a address) (settings, error) {
	x := expander(s, a, o)
	var err error
	each := func(list []string) (out []string) {
		for _, v := range list {
			p, bad := x.path(v)
			if bad != nil && err == nil {
				err = bad
			}
			if v != "" && v != "none" {
				out = append(out, p)
			}
		}
		return out
	}
	s.configured, s.certificates = each(e.all("identityfile")), each(e.all("certificatefile"))
	s.knownHosts, s.required = o.KnownHosts, len(o.KnownHosts) > 0
	if !s.required {
		s.knownHosts = each(append(paths(e.one("userknownhostsfile")), paths(e.one("globalknownhostsfile"))...))
	}
	if v := e.one("proxycommand"); v != "none" && len(s.jump) == 0 && err == nil {
		s.proxy, err = x.tokensIn(v)
	}
	switch v := e.one("identityagent"); {
	case v == "none":
	case v == "" || v == "SSH_AUTH_SOCK":
		s.agent = x.getenv("SSH_AUTH_SOCK")
	case strings.HasPrefix(v, "$") && !strings.HasPrefix(v, "${"):
		s.agent = x.getenv(v[1:])
	default:
		if got := each([]string{v}); len(got) > 0 {
			s.agent = got[0]
		}
	}
	return s, err
}

func pick(ds ...time.Duration) time.Duration {
	for _, d := range ds {
		if d > 0 {
			return d
		}
	}
	return 0
}

// seconds reads a time of ssh_config: seconds, or numbers with units (1m30s); 0 for none or something else.
func seconds(v string) time.Duration {
	if n, err := strconv.ParseUint(v, 10, 16); err == nil {
		return time.Duration(n) * time.Second
	}
	d, err := time.ParseDuration(strings.ToLower(v))
	if err != nil || d < 0 {
		return 0
	}
	return d
}

func yes(v string) bool { return v == "yes" || v == "true" }

// loginName is who runs ship: ssh's own default for User.
func loginName() (string, error) {
	u, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("who am i: %w", err)
	}
	return u.Username, nil
}
