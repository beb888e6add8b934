package config

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rootProxy checks the root's proxy and decodes what is only there: how the proxy itself runs.
func (d decoder) rootProxy(n *node, path string, run *ProxyRun) {
	if n.kind != mapping {
		d.fail(n, path, "true and false are for roles", "expected a map, got %s", n.what())
		return
	}
	d.proxy(n, path)
	if r := n.get("run"); r != nil {
		d.section(r, join(path, "run"), "proxy.run", keys{
			"http_port":    d.port(&run.HTTPPort),
			"https_port":   d.port(&run.HTTPSPort),
			"access_log":   func(n *node, path string) { d.accessLog(n, path, &run.LogPercent) },
			"metrics_port": func(n *node, path string) { d.metrics(n, path, &run.MetricsAddr) },
		})
		if run.HTTPPort == run.HTTPSPort {
			d.fail(r, join(path, "run"), "give each its own", "http_port and https_port are the same")
		}
		d.checkMetrics(r.get("metrics_port"), join(path, "run.metrics_port"), *run)
	}
}

// roleProxy is the root's proxy with the role's over it, or nil if the role is not proxied. The timeout for a new
// container counts in both cases.
func (d decoder) roleProxy(own *node, path string, base *node, proxied bool) (*Proxy, time.Duration) {
	switch {
	case own == nil || own.kind == null:
		own = nil
	case own.kind == mapping:
		proxied = true
		if run := own.get("run"); run != nil {
			d.fail(run, path, "it belongs under the proxy of the root", "the proxy runs once a host, not once a role")
		}
	default:
		d.flag(&proxied)(own, path)
		own = nil
	}
	if base != nil && base.kind != mapping {
		base = nil // told by rootProxy
	}
	both := merge(base, own)
	if both == nil {
		both = &node{kind: null}
	}
	p := d.proxy(both, path)
	if !proxied {
		return nil, p.DeployTimeout
	}
	return p, p.DeployTimeout
}

func (d decoder) proxy(n *node, path string) *Proxy {
	p := &Proxy{AppPort: 80, PathPrefix: "/", StripPathPrefix: true, Probe: Probe{Type: "http", Path: "/up", Interval: time.Second,
		Timeout: 5 * time.Second, Successes: 1, Failures: 3}, DrainTimeout: 30 * time.Second, DeployTimeout: 30 * time.Second,
		ResponseTimeout: 30 * time.Second, Speaks: "http"}
	redirect := true
	d.section(n, path, "proxy", keys{
		"host":              func(n *node, path string) { d.domains(n, path, &p.Hosts) },
		"hosts":             func(n *node, path string) { d.domains(n, path, &p.Hosts) },
		"app_port":          d.port(&p.AppPort),
		"path_prefix":       d.text(&p.PathPrefix, checkPrefix),
		"strip_path_prefix": d.flag(&p.StripPathPrefix),
		"healthcheck":       func(n *node, path string) { d.probe(n, path, &p.Probe) },
		"drain_timeout":     d.duration(&p.DrainTimeout, 0),
		"deploy_timeout":    d.duration(&p.DeployTimeout, time.Millisecond),
		"response_timeout":  d.duration(&p.ResponseTimeout, time.Millisecond),
		"max_request_body":  d.size(&p.MaxRequestBody),
		"allow":             d.lines(&p.Allow, checkNetwork),
		"canonical_host":    d.text(&p.CanonicalHost, checkDomain),
		"redirects":         func(n *node, path string) { d.redirects(n, path, p) },
		"app_protocol":      d.text(&p.Speaks, checkSpeaks),
		"compress":          d.flag(&p.Compress),
		"sticky":            d.flag(&p.Sticky),
		"rate_limit":        func(n *node, path string) { p.RateLimit = d.rateLimit(n, path) },
		"basic_auth":        func(n *node, path string) { p.BasicAuth = d.basicAuth(n, path) },
		"error_pages":       d.filePath(&p.ErrorPages),
		"trusted_proxies":   d.lines(&p.TrustedProxies, checkNetwork),
		"run":               func(*node, string) {}, // rootProxy's
		"ssl":               func(n *node, path string) { p.TLS = d.tls(n, path) },
		"ssl_redirect":      d.flag(&redirect),
	})
	if p.TLS != nil {
		p.TLS.Redirect = redirect
		if p.TLS.ClientCA != "" && !redirect {
			d.fail(n.get("ssl_redirect"), join(path, "ssl_redirect"), "remove it", "with ssl.client_ca, nothing is answered by http")
		}
		if p.TLS.ACME != nil {
			d.checkIssued(n.get("ssl"), join(path, "ssl"), p.Hosts)
		}
	}
	if n.get("host") != nil && n.get("hosts") != nil {
		d.fail(n.get("hosts"), join(path, "hosts"), "put all names into hosts", "host and hosts are both set")
	}
	if c := n.get("canonical_host"); c != nil && p.CanonicalHost != "" {
		p.CanonicalHost = strings.ToLower(p.CanonicalHost)
		if strings.HasPrefix(p.CanonicalHost, "*") || len(p.Hosts) > 0 && !slices.ContainsFunc(p.Hosts, func(h string) bool { return covers(h, p.CanonicalHost) }) {
			d.fail(c, join(path, "canonical_host"), "one name of proxy.hosts", "requests for %s do not reach the app", c.shown())
		}
	}
	d.checkRedirects(n.get("redirects"), join(path, "redirects"), p)
	if p.PathPrefix = "/" + strings.Trim(p.PathPrefix, "/"); p.PathPrefix == "/" {
		p.StripPathPrefix = false // nothing to strip
	}
	return p
}

func checkSpeaks(s string) error {
	if s != "http" && s != "h2c" {
		return errors.New("not http or h2c")
	}
	return nil
}

// covers tells whether a name in hosts stands for the other one too.
func covers(host, name string) bool {
	_, below, _ := strings.Cut(name, ".")
	return host == name || host == "*."+below
}

// domains reads a list of names, or a text of names with commas between.
func (d decoder) domains(n *node, path string, to *[]string) {
	names := n
	if n.kind == scalar && strings.Contains(n.text, ",") {
		names = &node{kind: list, src: n.src, line: n.line, column: n.column}
		for name := range strings.SplitSeq(n.text, ",") {
			part := *n
			part.text = strings.TrimSpace(name)
			names.items = append(names.items, &part)
		}
	}
	var all []string
	if names.kind == scalar {
		s := ""
		if d.text(&s, checkDomain)(names, path); s != "" {
			all = []string{s}
		}
	} else {
		d.lines(&all, checkDomain)(names, path)
	}
	for i := range all {
		all[i] = strings.ToLower(all[i])
	}
	*to = all
}

func (d decoder) probe(n *node, path string, p *Probe) {
	d.section(n, path, "proxy.healthcheck", keys{
		"type":      d.text(&p.Type, checkProbeType),
		"service":   d.text(&p.Service, checkGRPCService),
		"status":    func(n *node, path string) { d.statuses(n, path, &p.Status) },
		"path":      d.text(&p.Path, checkURLPath),
		"interval":  d.duration(&p.Interval, 10*time.Millisecond),
		"timeout":   d.duration(&p.Timeout, 10*time.Millisecond),
		"host":      d.text(&p.Host, checkDomain),
		"successes": d.whole(&p.Successes, 1, 100),
		"failures":  d.whole(&p.Failures, 1, 1000),
	})
	d.checkProbe(n, path, p)
}

// redirects reads a table of paths and where they lead.
func (d decoder) redirects(n *node, path string, p *Proxy) {
	p.Redirects = map[string]string{}
	d.each(n, path, checkFrom, func(key string, value *node, path string) {
		to := ""
		if d.text(&to, checkMoved)(value, path); to != "" {
			p.Redirects[key] = to
		}
	})
	if len(p.Redirects) > 256 {
		d.fail(n, path, "", "%d redirects, the most is 256", len(p.Redirects))
	}
	if len(p.Redirects) == 0 {
		p.Redirects = nil
	}
}

// checkRedirects finds what would never happen, and what leads on to another line: a chain, or a ring.
func (d decoder) checkRedirects(n *node, path string, p *Proxy) {
	prefix := "/" + strings.Trim(p.PathPrefix, "/")
	for _, from := range slices.Sorted(maps.Keys(p.Redirects)) {
		to, _, _ := strings.Cut(p.Redirects[from], "?")
		to, _, _ = strings.Cut(to, "#")
		at := n.get(from)
		if _, on := p.Redirects[to]; on {
			d.fail(at, join(path, from), "name the last place at once", "%s is redirected itself", at.shown())
		}
		if prefix != "/" && from != prefix && !strings.HasPrefix(from, prefix+"/") {
			d.fail(at, join(path, from), "", "requests for %s do not reach the app, but those below %s", clip(from), prefix)
		}
	}
}

// rateLimit reads 100/s, or a map with the burst.
func (d decoder) rateLimit(n *node, path string) *RateLimit {
	l := &RateLimit{}
	rate := func(n *node, path string) {
		text, ok := d.line(n, path)
		if !ok {
			return
		}
		count, unit, _ := strings.Cut(text, "/")
		per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
		requests, err := strconv.Atoi(count)
		if err != nil || per == 0 || requests < 1 || requests > 1_000_000 {
			d.fail(n, path, "100/s, 100/m or 100/h: of each client", "%s: not a rate of requests", n.shown())
			return
		}
		l.Requests, l.Per = requests, per
	}
	if n.kind != mapping {
		rate(n, path)
		return l
	}
	d.section(n, path, "proxy.rate_limit", keys{"rate": rate, "burst": d.whole(&l.Burst, 1, 1_000_000)})
	if n.get("rate") == nil {
		d.fail(n, path, "rate_limit: { rate: 100/s, burst: 200 }", "needs a rate")
	}
	return l
}

// String is the limit as it is written.
func (l RateLimit) String() string {
	unit := map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h"}[l.Per]
	return strconv.Itoa(l.Requests) + "/" + unit
}

// basicAuth reads a user and the name of a secret. The message never shows the second: it may be the password itself.
func (d decoder) basicAuth(n *node, path string) *BasicAuth {
	b := &BasicAuth{}
	d.section(n, path, "proxy.basic_auth", keys{
		"user": d.text(&b.User, func(s string) error {
			if strings.Contains(s, ":") || len(s) > 128 {
				return errors.New("a user's name has no colon, and at most 128 bytes")
			}
			return nil
		}),
		"password": func(n *node, path string) {
			if n.kind != scalar || !isSecretName(n.text) {
				d.fail(n, path, "its value stands in the environment or in the file secrets_path, never here", "not the name of a secret")
				return
			}
			b.Password = n.text
		},
	})
	if n.kind == mapping && (n.get("user") == nil || n.get("password") == nil) {
		d.fail(n, path, "basic_auth: { user: ann, password: NAME_OF_A_SECRET }", "needs a user and a password")
	}
	return b
}

// checkProxied finds routes that reach nobody, and routes that reach two roles.
func (d decoder) checkProxied(roles []Role, servers, root *node) {
	proxied := 0
	for i, r := range roles {
		if r.Proxy == nil {
			continue
		}
		proxied++
		for _, other := range roles[:i] {
			if other.Proxy != nil && clash(r, other) {
				d.fail(servers, "servers", "give one of them another host or path_prefix under proxy",
					"the roles %s and %s share a host and would get the same requests", other.Name, r.Name)
			}
		}
	}
	if proxied > 0 || len(roles) == 0 || root == nil || root.kind != mapping {
		return
	}
	if slices.ContainsFunc(root.entries, func(e entry) bool { return e.key == "host" || e.key == "hosts" }) {
		d.fail(root, "proxy", "call it web, or give it proxy: true", "names a host, but no role is proxied")
	}
}

// clash says whether a request could be for both roles.
func clash(a, b Role) bool {
	common := func(x, y []string) bool {
		return slices.ContainsFunc(x, func(s string) bool { return slices.Contains(y, s) })
	}
	if !common(a.Hosts, b.Hosts) || a.Proxy.PathPrefix != b.Proxy.PathPrefix {
		return false
	}
	return len(a.Proxy.Hosts) == 0 && len(b.Proxy.Hosts) == 0 || common(a.Proxy.Hosts, b.Proxy.Hosts)
}
