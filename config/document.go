package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v4"
)

// Document is the app as a ship.yaml that says everything: files merged, variables put in, defaults written out. As
// YAML, Load makes the same app of it again; as JSON it has the same keys. Secrets are named in it, as in the file.
func (a *App) Document() interface {
	json.Marshaler
	yaml.Marshaler
} {
	proxy := object{{"run", a.Proxy.document()}}
	var servers object
	for _, r := range a.Roles {
		servers = append(servers, member{r.Name, r.document()})
		if r.Proxy == nil { // such a role takes it from the root
			proxy = append(proxy.without("deploy_timeout"), member{"deploy_timeout", r.DeployTimeout.String()})
		}
	}
	doc := object{{"service", a.Service}, {"image", a.Image}, {"servers", servers}, {"proxy", proxy}}
	doc = doc.filled("ssh", a.SSH.document()).filled("boot", a.Boot.document()).filled("transfer", a.Transfer.document())
	return append(doc, member{"retain", a.Retain}, member{"secrets_path", a.SecretFiles[len(a.SecretFiles)-1]})
}

func (r Role) document() object {
	o := object{{"hosts", r.Hosts}}.list("cmd", r.Cmd)
	if r.Proxy == nil {
		o = append(o, member{"proxy", false})
	} else {
		o = append(o, member{"proxy", r.Proxy.document()})
	}
	var secret []string
	for _, s := range r.Env.Secret {
		if s.Source != s.Name {
			s.Name += ":" + s.Source
		}
		secret = append(secret, s.Name)
	}
	o = o.filled("env", object{}.filled("clear", texts(r.Env.Clear)).list("secret", secret))
	if h := r.Healthcheck; h != nil {
		var cmd any = h.Test[1:]
		if h.Test[0] == "CMD-SHELL" {
			cmd = h.Test[1]
		}
		o = append(o, member{"healthcheck", object{{"cmd", cmd}, {"interval", h.Interval.String()},
			{"timeout", h.Timeout.String()}, {"retries", h.Retries}}})
	}
	if r.Replicas > 1 {
		o = append(o, member{"replicas", r.Replicas})
	}
	o = append(o, member{"stop_timeout", r.StopTimeout.String()})
	return o.list("volumes", r.Volumes).filled("labels", texts(r.Labels))
}

func (p Proxy) document() object {
	o := object{}.list("hosts", p.Hosts)
	o = append(o, member{"app_port", p.AppPort}, member{"path_prefix", p.PathPrefix}, member{"strip_path_prefix", p.StripPathPrefix},
		member{"healthcheck", p.Probe.document()},
		member{"deploy_timeout", p.DeployTimeout.String()}, member{"drain_timeout", p.DrainTimeout.String()},
		member{"response_timeout", p.ResponseTimeout.String()}, member{"max_request_body", p.MaxRequestBody})
	o = o.filled("redirects", texts(p.Redirects))
	if p.Speaks != "http" {
		o = append(o, member{"app_protocol", p.Speaks})
	}
	if p.Sticky {
		o = append(o, member{"sticky", true})
	}
	if p.Compress {
		o = append(o, member{"compress", true})
	}
	if l := p.RateLimit; l != nil && l.Burst > 0 {
		o = append(o, member{"rate_limit", object{{"rate", l.String()}, {"burst", l.Burst}}})
	} else if l != nil {
		o = append(o, member{"rate_limit", l.String()})
	}
	if b := p.BasicAuth; b != nil {
		o = append(o, member{"basic_auth", object{{"user", b.User}, {"password", b.Password}}})
	}
	if o = o.filled("ssl", p.TLS.document()); p.TLS != nil {
		o = append(o, member{"ssl_redirect", p.TLS.Redirect})
	}
	return o.list("allow", p.Allow).text("canonical_host", p.CanonicalHost).text("error_pages", p.ErrorPages).list("trusted_proxies", p.TrustedProxies)
}

func (p ProxyRun) document() object {
	o := object{{"http_port", p.HTTPPort}, {"https_port", p.HTTPSPort}}.text("metrics_port", p.MetricsAddr)
	switch p.LogPercent {
	case 100:
		return append(o, member{"access_log", "on"})
	case 0:
		return append(o, member{"access_log", "off"})
	}
	return append(o, member{"access_log", object{{"sample", strconv.FormatFloat(p.LogPercent, 'g', -1, 64) + "%"}}})
}

func (p Probe) document() object {
	o := object{{"type", p.Type}}.text("service", p.Service).text("path", p.Path).list("status", p.Status)
	o = append(o, member{"interval", p.Interval.String()}, member{"timeout", p.Timeout.String()},
		member{"successes", p.Successes}, member{"failures", p.Failures})
	return o.text("host", p.Host)
}

func (s SSH) document() object {
	o := object{}.text("user", s.User)
	if s.Port > 0 {
		o = append(o, member{"port", s.Port})
	}
	return o.text("jump", s.Jump).text("config", s.Config).list("keys", s.Keys).filled("host_keys", texts(s.HostKeys))
}

func (b Boot) document() object {
	var o object
	switch {
	case b.Limit > 0:
		o = object{{"limit", b.Limit}}
	case b.Percent > 0:
		o = object{{"limit", strconv.Itoa(b.Percent) + "%"}}
	}
	if b.Wait > 0 {
		o = append(o, member{"wait", b.Wait.String()})
	}
	return append(o, member{"watch", b.Watch.String()})
}

// object is a map in the order of its members. Values are string, int, int64, bool, []string and object.
type object []member

type member struct {
	key   string
	value any
}

func (o object) without(key string) object {
	return slices.DeleteFunc(o, func(m member) bool { return m.key == key })
}

// text, list and filled add a member, unless it is empty.
func (o object) text(key, value string) object {
	if value == "" {
		return o
	}
	return append(o, member{key, value})
}

func (o object) list(key string, value []string) object {
	if len(value) == 0 {
		return o
	}
	return append(o, member{key, value})
}

func (o object) filled(key string, value object) object {
	if len(value) == 0 {
		return o
	}
	return append(o, member{key, value})
}

func texts(m map[string]string) object {
	var o object
	for _, key := range slices.Sorted(maps.Keys(m)) {
		o = append(o, member{key, m[key]})
	}
	return o
}

// MarshalJSON keeps the order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	for i, m := range o {
		key, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.key, err)
		}
		b.WriteString([]string{"{", ","}[min(i, 1)])
		b.Write(append(append(key, ':'), value...))
	}
	if len(o) == 0 {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// MarshalYAML keeps the order, and doubles dollar signs, so that reading puts no variables in.
func (o object) MarshalYAML() (any, error) {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, m := range o {
		value := m.value
		switch v := value.(type) {
		case string:
			value = literal(v)
		case []string:
			all := make([]string, len(v))
			for i := range v {
				all[i] = literal(v[i])
			}
			value = all
		}
		var node yaml.Node
		if err := node.Encode(value); err != nil {
			return nil, fmt.Errorf("%s: %w", m.key, err)
		}
		key := &yaml.Node{}
		key.SetString(m.key)
		n.Content = append(n.Content, key, &node)
	}
	return n, nil
}
