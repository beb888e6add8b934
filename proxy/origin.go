package proxy

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"strings"
)

// maxNetworks is how many networks a service may name in one place: those for delivery have about 20.
const maxNetworks = 256

func checkNetworks(all []string) error {
	if len(all) > maxNetworks {
		return fmt.Errorf("%d networks, at most %d are allowed", len(all), maxNetworks)
	}
	for _, s := range all {
		if _, err := parseNetwork(s); err != nil {
			return err
		}
	}
	return nil
}

// parseNetwork reads "10.0.0.0/8", or an address, which stands for itself alone.
func parseNetwork(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, aerr := netip.ParseAddr(s)
		if aerr != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%.80q is neither a network, as in 10.0.0.0/8, nor an address", s)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%.80q: write it as IPv4", s)
	}
	return p.Masked(), nil
}

// networks parses what withDefaults has checked.
func networks(all []string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range all {
		if p, err := parseNetwork(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// origin is where a request came from.
type origin struct {
	client  string // its address without a port
	trusted bool   // the peer is a proxy of ours, and its forwarding headers count
}

// origin finds the client. Behind trusted proxies that is the last address in X-Forwarded-For, read from the right, that is
// not one of theirs: what stands left of it, the client may have written itself. An entry that is no address ends the way.
func (s *live) origin(r *http.Request) origin {
	o := origin{client: clientAddr(r)}
	if len(s.trusted) == 0 {
		return o
	}
	peer, err := netip.ParseAddr(o.client)
	if err != nil || !s.trusts(peer) {
		return o
	}
	o.trusted = true
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		for rest := lines[i]; rest != ""; {
			var last string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, last = rest[:comma], rest[comma+1:]
			} else {
				rest, last = "", rest
			}
			a, ok := forwardedAddr(last)
			if !ok {
				return o
			}
			if o.client = a.String(); !s.trusts(a) {
				return o
			}
		}
	}
	return o
}

// forwardedAddr reads an entry of X-Forwarded-For, which some proxies write with a port.
func forwardedAddr(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	a, err := netip.ParseAddr(s)
	if err != nil {
		var ap netip.AddrPort
		if ap, err = netip.ParseAddrPort(s); err != nil {
			return netip.Addr{}, false
		}
		a = ap.Addr()
	}
	return a.Unmap().WithZone(""), true
}

func (s *live) trusts(a netip.Addr) bool { return within(s.trusted, a) }

// admits tells whether the client may come.
func (s *live) admits(o origin) bool {
	if len(s.Allow) == 0 {
		return true
	}
	a, err := netip.ParseAddr(o.client)
	return err == nil && within(s.allowed, a)
}

func within(networks []netip.Prefix, a netip.Addr) bool {
	a = a.WithZone("") // a network has none
	for _, p := range networks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// kept are the forwarding headers that a trusted proxy may set.
var kept = [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto"}

// told is what a trusted proxy says of the request's way. Proto is http or https, or it would be a way to make an app build
// strange links.
func (o origin) told(in http.Header) http.Header {
	if !o.trusted {
		return nil
	}
	out := http.Header{}
	for _, name := range kept {
		v := in[name]
		if len(v) == 0 || name == "X-Forwarded-Proto" && v[0] != "http" && v[0] != "https" {
			continue
		}
		out[name] = v
	}
	return out
}

// vouch says on whose behalf we ask for r. Forwarding headers of the client are dropped, for anybody can write them; what a
// trusted proxy told stays, and its address is added to the way.
func (o origin) vouch(out http.Header, r *http.Request, told http.Header) {
	maps.DeleteFunc(out, func(name string, _ []string) bool { return forwarding(name) })
	way, proto := clientAddr(r), "http"
	if r.TLS != nil {
		proto = "https"
	}
	if prior := told["X-Forwarded-For"]; len(prior) > 0 {
		way = strings.Join(prior, ", ") + ", " + way
	}
	if o.trusted {
		out["X-Real-Ip"] = []string{o.client}
	}
	v := [...]string{way, r.Host, proto}
	out["X-Forwarded-Host"], out["X-Forwarded-Proto"] = v[1:2:2], v[2:3:3]
	maps.Copy(out, told)
	out["X-Forwarded-For"] = v[0:1:1]
}

// forwarding tells whether a header speaks of the way that a request came, or of who sent it. Many an app server takes _ for -.
func forwarding(name string) bool {
	if len(name) < len("Forwarded") || name[0]|0x20 != 'f' && name[0]|0x20 != 'x' {
		return false
	}
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	return name == "forwarded" || name == "x-real-ip" || strings.HasPrefix(name, "x-forwarded-") || strings.HasPrefix(name, "x-client-cert-")
}
