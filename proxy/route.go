package proxy

import (
	"cmp"
	"crypto/x509"
	"net/netip"
	"slices"
	"strings"
)

// live is a service as requests meet it: a snapshot names it, and nothing in it changes.
type live struct {
	Service
	targets *pool
	trusted []netip.Prefix // TrustedProxies, parsed once
	allowed []netip.Prefix // Allow
	guard   *guard         // BasicAuth; nil = none
	pacer   *pacer         // RateLimit; nil = none
	valve   *valve         // its service's, the same in all snapshots; nil = always open

	pages   map[int]errorPage   // ErrorPages, those that are there
	clients []*x509.Certificate // TLS.ClientCA
}

func newLive(s Service, targets ...*upstream) *live {
	return &live{Service: s, targets: &pool{all: targets}, trusted: networks(s.TrustedProxies), allowed: networks(s.Allow), guard: newGuard(s.BasicAuth), pacer: newPacer(s.RateLimit), clients: clientCAs(s.TLS)}
}

// serves tells whether it is what p says.
func (s *live) serves(p placed) bool {
	return slices.EqualFunc(s.targets.all, p.targets(), func(u *upstream, t Target) bool { return u.Target == t })
}

// routes is an immutable snapshot: by host, the services with their path prefixes, longest first. "" stands for
// every host.
type routes map[string][]*live

func newRoutes(services []*live) routes {
	r := routes{}
	for _, s := range services {
		hosts := s.Hosts
		if len(hosts) == 0 {
			hosts = []string{""}
		}
		for _, h := range hosts {
			r[h] = append(r[h], s)
		}
	}
	for _, list := range r {
		slices.SortFunc(list, func(a, b *live) int {
			return cmp.Or(cmp.Compare(len(b.PathPrefix), len(a.PathPrefix)), cmp.Compare(a.Name, b.Name))
		})
	}
	return r
}

// find returns the service for a normalised host and a path: the exact host first, then its wildcard, then the
// services of every host; nil if none.
func (r routes) find(host, path string) *live {
	if s := match(r[host], path); s != nil {
		return s
	}
	if _, rest, ok := strings.Cut(host, "."); ok {
		if s := match(r["*."+rest], path); s != nil {
			return s
		}
	}
	return match(r[""], path)
}

func match(list []*live, path string) *live {
	for _, s := range list {
		if underPrefix(path, s.PathPrefix) {
			return s
		}
	}
	return nil
}

// underPrefix is true on segment borders only: /api covers /api and /api/x, not /apix.
func underPrefix(path, prefix string) bool {
	if prefix == "/" {
		return true
	}
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}
