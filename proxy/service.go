package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"
)

// Duration is a time.Duration that reads and writes as text ("30s") in JSON.
type Duration time.Duration

// MarshalText writes "30s".
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// Service is a set of routes and how their requests are handled.
type Service struct {
	Name            string      `json:"name"`
	Hosts           []string    `json:"hosts,omitempty"` // names in the Host header; "*.example.com" stands for one label; none: every name
	PathPrefix      string      `json:"path_prefix"`     // "/" or "/api": matches on segment borders
	StripPrefix     bool        `json:"strip_prefix,omitempty"`
	Health          HealthCheck `json:"health"`
	DrainTimeout    Duration    `json:"drain_timeout,omitempty"`
	ResponseTimeout Duration    `json:"response_timeout,omitempty"` // until the head of an answer; 0 = 60 s
	MaxRequestBody  int64       `json:"max_request_body,omitempty"` // bytes; 0 = no limit
	Allow           []string    `json:"allow,omitempty"`            // networks or addresses of clients that may come; none: all
	CanonicalHost   string      `json:"canonical_host,omitempty"`   // where requests for the other hosts are sent by a redirect; "" = nowhere
	Compress        bool        `json:"compress,omitempty"`         // answers, for clients that take it
	Sticky          bool        `json:"sticky,omitempty"`           // clients stay with the replica that they met first, by a cookie
	RateLimit       *RateLimit  `json:"rate_limit,omitempty"`       // of each client; nil: none
	BasicAuth       *BasicAuth  `json:"basic_auth,omitempty"`       // who may come; nil: everybody
	TLS             *TLS        `json:"tls,omitempty"`              // nil: it is reached by http alone
	Speaks          string      `json:"speaks,omitempty"`           // SpeaksHTTP or SpeaksH2C: what targets are asked in; "" = SpeaksHTTP
	TrustedProxies  []string    `json:"trusted_proxies,omitempty"`  // networks or addresses whose forwarding headers count; none: nobody's

	Redirects map[string]string `json:"redirects,omitempty"` // from a path to another, or to an address

	ErrorPages map[string]string `json:"error_pages,omitempty"` // by status ("503"), the hash of a page that [Client.GiveErrorPage] gave
}

// What a target is asked in.
const (
	SpeaksHTTP = "http" // HTTP/1.1
	SpeaksH2C  = "h2c"  // HTTP/2 without TLS, known beforehand: what gRPC needs
)

// HealthCheck is a GET that a healthy target answers with 2xx, a connection that it takes, or a call of its gRPC health
// service. Redirects are not followed.
type HealthCheck struct {
	Type      string   `json:"type,omitempty"`     // CheckHTTP, CheckTCP or CheckGRPC; "" = CheckHTTP
	Service   string   `json:"service,omitempty"`  // that the gRPC health service is asked for; "" = the app as a whole
	Statuses  []string `json:"statuses,omitempty"` // of a healthy target, "200" or "200-299"; none: 2xx
	Path      string   `json:"path"`               // "/up"
	Host      string   `json:"host,omitempty"`     // Host header; "" = the service's first host
	Interval  Duration `json:"interval,omitempty"`
	Timeout   Duration `json:"timeout,omitempty"`   // of one check
	Successes int      `json:"successes,omitempty"` // in a row, to be healthy
	Failures  int      `json:"failures,omitempty"`  // in a row, until the target gets no more requests; 0 = 3
}

// Target is one container.
type Target struct {
	ID      string `json:"id"`
	Address string `json:"address"` // ip:port
	Release string `json:"release,omitempty"`
}

// Limits of what control messages may carry.
const (
	maxName  = 128
	maxHosts = 100
	maxPath  = 1024

	minInterval = 10 * time.Millisecond // between health checks

	defaultFailures, maxFailures = 3, 1000
)

func checkName(s string) error {
	if s == "" || len(s) > maxName || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_.-") != "" {
		return fmt.Errorf("service name %.80q: want lower case letters, digits, _, . and -", s)
	}
	return nil
}

// notPath tells of characters that a path prefix, which is compared with decoded paths, had better not have.
func notPath(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("?#%\\;", r) }

// withDefaults fills in what was left out, and checks the rest.
func (s Service) withDefaults() (Service, error) {
	if err := checkName(s.Name); err != nil {
		return s, err
	}
	if len(s.Hosts) > maxHosts {
		return s, fmt.Errorf("service %s has %d hosts, at most %d are allowed", s.Name, len(s.Hosts), maxHosts)
	}
	hosts := make([]string, len(s.Hosts))
	for i, h := range s.Hosts {
		hosts[i] = normalHost(h)
		if hosts[i] == "" || strings.Contains(strings.TrimPrefix(hosts[i], "*."), "*") {
			return s, fmt.Errorf("service %s: host %.80q is no host name", s.Name, h)
		}
	}
	s.Hosts = hosts
	for what, list := range map[string][]string{"allow": s.Allow, "trusted proxies": s.TrustedProxies} {
		if err := checkNetworks(list); err != nil {
			return s, fmt.Errorf("service %s: %s: %w", s.Name, what, err)
		}
	}
	if s.RateLimit != nil {
		if err := s.RateLimit.check(); err != nil {
			return s, fmt.Errorf("service %s: %w", s.Name, err)
		}
	}
	if s.BasicAuth != nil {
		if err := s.BasicAuth.check(); err != nil {
			return s, fmt.Errorf("service %s: %w", s.Name, err)
		}
	}
	if err := s.TLS.check(); err != nil {
		return s, fmt.Errorf("service %s: %w", s.Name, err)
	}
	if s.CanonicalHost != "" {
		h := normalHost(s.CanonicalHost)
		if h == "" || h != strings.ToLower(strings.TrimSuffix(s.CanonicalHost, ".")) || strings.ContainsAny(h, "*:") {
			return s, fmt.Errorf("service %s: canonical host %.80q is no host name", s.Name, s.CanonicalHost)
		}
		s.CanonicalHost = h
	}
	if s.Speaks != "" && s.Speaks != SpeaksHTTP && s.Speaks != SpeaksH2C {
		return s, fmt.Errorf("service %s: its targets speak %.20q, which this proxy does not", s.Name, s.Speaks)
	}
	s.PathPrefix = "/" + strings.Trim(s.PathPrefix, "/")
	if len(s.PathPrefix) > maxPath || path.Clean(s.PathPrefix) != s.PathPrefix || strings.ContainsFunc(s.PathPrefix, notPath) {
		return s, fmt.Errorf("service %s: path prefix %.80q is no plain path", s.Name, s.PathPrefix)
	}
	if err := checkRedirects(s.PathPrefix, s.Redirects); err != nil {
		return s, fmt.Errorf("service %s: %w", s.Name, err)
	}
	if err := checkErrorPages(s.ErrorPages); err != nil {
		return s, fmt.Errorf("service %s: %w", s.Name, err)
	}
	switch {
	case s.Health.Type == CheckTCP:
		s.Health.Path = ""
	case s.Health.Type == CheckGRPC:
		s.Health.Path = grpcPath
	case s.Health.Path == "":
		s.Health.Path = "/up"
	}
	if s.Health.Type != CheckTCP && !strings.HasPrefix(s.Health.Path, "/") || len(s.Health.Path) > maxPath {
		return s, fmt.Errorf("service %s: health path %.80q does not begin with /, or is too long", s.Name, s.Health.Path)
	}
	if err := s.Health.check(); err != nil {
		return s, fmt.Errorf("service %s: health check: %w", s.Name, err)
	}
	orDefault := func(d *Duration, v time.Duration) {
		if *d <= 0 {
			*d = Duration(v)
		}
	}
	orDefault(&s.Health.Interval, time.Second)
	s.Health.Interval = max(s.Health.Interval, Duration(minInterval))
	orDefault(&s.Health.Timeout, 5*time.Second)
	orDefault(&s.DrainTimeout, 30*time.Second)
	orDefault(&s.ResponseTimeout, 60*time.Second)
	s.Health.Successes = max(1, min(s.Health.Successes, 100))
	s.Health.Failures = min(cmp.Or(max(0, s.Health.Failures), defaultFailures), maxFailures)
	return s, nil
}

// Conflicts names a route that both services want, if there is one.
func (s Service) Conflicts(other Service) (route string, yes bool) {
	a, errA := s.withDefaults()
	b, errB := other.withDefaults()
	if errA != nil || errB != nil || a.PathPrefix != b.PathPrefix {
		return "", false
	}
	if len(a.Hosts) == 0 && len(b.Hosts) == 0 {
		return "*" + a.PathPrefix, true
	}
	for _, h := range a.Hosts {
		if slices.Contains(b.Hosts, h) {
			return h + a.PathPrefix, true
		}
	}
	return "", false
}

func (t Target) check() error {
	if t.ID == "" || len(t.ID) > maxName {
		return errors.New("the target has no ID")
	}
	if _, err := netip.ParseAddrPort(t.Address); err != nil {
		return fmt.Errorf("target address %.80q: want ip:port", t.Address)
	}
	return nil
}

// normalHost is a Host header's name as it is compared: lower case, without port and trailing dot. "" = no name.
func normalHost(s string) string {
	if h, _, err := net.SplitHostPort(s); err == nil {
		s = h
	} else if in, ok := strings.CutPrefix(s, "["); ok {
		s = strings.TrimSuffix(in, "]")
	}
	if strings.Contains(s, ":") {
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			return a.String()
		}
		return ""
	}
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 || strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".") || strings.Contains(s, "..") || strings.ContainsFunc(s, notHost) {
		return ""
	}
	return strings.ToLower(s)
}

func notHost(r rune) bool {
	letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	return !letter && (r < '0' || r > '9') && !strings.ContainsRune("-_.*", r)
}
