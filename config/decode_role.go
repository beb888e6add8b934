package config

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// primary is the role that is proxied without being asked.
const primary = "web"

// MaxReplicas bounds the containers of a role on a host.
const MaxReplicas = 64

// defaultStop is the engine's own; roles without the proxy get time to end their work instead.
const (
	defaultStop        = 10 * time.Second
	defaultStopWorkers = 30 * time.Second
)

// roles decodes servers: a list of hosts of the role web, or a map of roles.
func (d decoder) roles(n *node, path string, base inherited) []Role {
	if n.kind == list {
		return []Role{d.role(&node{kind: null, src: n.src, line: n.line, column: n.column}, path, primary, true, base, n)}
	}
	if n.kind != mapping {
		d.fail(n, path, "", "expected a list of hosts or a map of roles, got %s", n.what())
		return nil
	}
	if len(n.entries) == 0 {
		d.fail(n, path, "", "has no role")
	}
	var all []Role
	d.each(n, path, checkName, func(name string, value *node, path string) {
		first := name == primary || len(n.entries) == 1
		if value.kind == list {
			hosts := value
			value = &node{kind: null, src: value.src, line: value.line, column: value.column}
			all = append(all, d.role(value, path, name, first, base, hosts))
			return
		}
		all = append(all, d.role(value, path, name, first, base, nil))
	})
	return all
}

// role decodes one role; hosts is their list where it is all that is said.
func (d decoder) role(n *node, path, name string, proxied bool, base inherited, hosts *node) Role {
	r := Role{Name: name, Replicas: 1, StopTimeout: base.stopTimeout}
	readHosts := d.lines(&r.Hosts, checkHost)
	if hosts != nil {
		readHosts(hosts, path)
	}
	var volumes []string
	var labels map[string]string
	stopSaid := base.stopTimeout > 0
	own := n.get("proxy")
	d.section(n, path, "servers.*", keys{
		"hosts":       func(n *node, path string) { hosts = n; readHosts(n, path) },
		"cmd":         func(n *node, path string) { r.Cmd = d.command(n, path) },
		"proxy":       func(*node, string) {}, // below
		"env":         func(*node, string) {}, // below
		"healthcheck": func(n *node, path string) { r.Healthcheck = d.healthcheck(n, path) },
		"stop_timeout": func(n *node, path string) {
			stopSaid = true
			d.duration(&r.StopTimeout, 0)(n, path)
		},
		"volumes":  d.volumes(&volumes),
		"labels":   d.labels(&labels),
		"replicas": d.whole(&r.Replicas, 1, MaxReplicas),
	})
	switch {
	case hosts == nil && (n.kind == mapping || n.kind == null):
		d.fail(n, path, "", "has no hosts")
	case hosts != nil && hosts.kind == list && len(hosts.items) == 0:
		d.fail(hosts, path, "", "the list of hosts is empty")
	}
	r.Proxy, r.DeployTimeout = d.roleProxy(own, join(path, "proxy"), base.proxy, proxied)
	r.Env = d.mergedEnv(base.env, n.get("env"), path)
	r.Volumes = mergedVolumes(base.volumes, volumes)
	r.Labels = maps.Clone(base.labels)
	if r.Labels == nil {
		r.Labels = make(map[string]string)
	}
	maps.Copy(r.Labels, labels)
	switch {
	case !stopSaid && r.Proxy != nil:
		r.StopTimeout = defaultStop
	case !stopSaid:
		r.StopTimeout = defaultStopWorkers
	}
	return r
}

func target(volume string) string {
	v, _ := ParseVolume(volume) // was checked
	return v.Target
}

// volumes reads mounts, each with a target of its own.
func (d decoder) volumes(to *[]string) read {
	return func(n *node, path string) {
		d.lines(to, checkVolume)(n, path)
		seen := make(map[string]bool)
		for _, s := range *to {
			if t := target(s); seen[t] {
				d.fail(n, path, "", "two volumes have the target %s", clip(t))
			} else {
				seen[t] = true
			}
		}
	}
}

// mergedVolumes are the root's and the role's; the role's wins where both have the same target.
func mergedVolumes(base, own []string) []string {
	var all []string
	for _, s := range base {
		if !slices.ContainsFunc(own, func(o string) bool { return target(o) == target(s) }) {
			all = append(all, s)
		}
	}
	return append(all, own...)
}

// command reads a list of words, or a text that is cut into words.
func (d decoder) command(n *node, path string) []string {
	if n.kind != list {
		s, ok := d.script(n, path)
		if !ok {
			return nil
		}
		words, err := splitWords(s)
		if err != nil {
			d.refuse(n, path, err)
		}
		return words
	}
	var words []string
	for i, item := range n.items {
		if s, ok := d.value(item, index(path, i)); ok {
			words = append(words, s)
		}
	}
	if len(n.items) == 0 || len(words) > 0 && words[0] == "" {
		d.fail(n, path, "", "the command is empty")
	}
	return words
}

// script reads a text that may have line breaks, though not only those.
func (d decoder) script(n *node, path string) (string, bool) {
	s, ok := d.scalar(n, path, "a command")
	switch s = strings.TrimSpace(s); {
	case !ok:
		return "", false
	case n.tag == "!!bool":
		d.fail(n, path, "put quotes around it if it is meant as text", "expected a command, got %s", n.what())
		return "", false
	case s == "":
		d.fail(n, path, "", "the command is empty")
		return "", false
	case strings.Contains(s, "\x00"):
		d.fail(n, path, "", "contains a NUL")
		return "", false
	}
	return s, true
}

// healthcheck reads a check that the engine runs in the container: a text is for a shell in the image, a list is not.
func (d decoder) healthcheck(n *node, path string) *Healthcheck {
	h := &Healthcheck{Interval: 5 * time.Second, Timeout: 5 * time.Second, Retries: 3}
	d.section(n, path, "servers.*.healthcheck", keys{
		"cmd": func(n *node, path string) {
			if n.kind == list {
				h.Test = append([]string{"CMD"}, d.command(n, path)...)
			} else if s, ok := d.script(n, path); ok {
				h.Test = []string{"CMD-SHELL", s}
			}
		},
		"interval": d.duration(&h.Interval, time.Millisecond),
		"timeout":  d.duration(&h.Timeout, time.Millisecond),
		"retries":  d.whole(&h.Retries, 1, 1000),
	})
	if cmd := n.get("cmd"); n.kind == mapping && (cmd == nil || cmd.kind == null) {
		d.fail(n, path, "a check over HTTP belongs under proxy: {healthcheck: {path: /up}}", "has no cmd")
	}
	return h
}
