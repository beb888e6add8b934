package config

import (
	"strings"
	"time"
)

// app decodes the root. It returns an App even if there were mistakes; path is the file to name for what is missing.
func (d decoder) app(root *node, path string) *App {
	a := &App{Transfer: DefaultTransfer(), Retain: 5, Boot: Boot{Watch: defaultWatch}, Proxy: ProxyRun{HTTPPort: 80, HTTPSPort: 443, LogPercent: 100}}
	secrets := ".ship/secrets"
	base := inherited{env: root.get("env"), proxy: root.get("proxy")}
	d.section(root, "", "", keys{
		"service":      d.text(&a.Service, checkName),
		"image":        d.text(&a.Image, checkImage),
		"servers":      func(*node, string) {}, // below: roles need all the rest
		"ssh":          func(n *node, path string) { a.SSH = d.ssh(n, path) },
		"proxy":        func(n *node, path string) { d.rootProxy(n, path, &a.Proxy) },
		"env":          func(n *node, path string) { d.env(n, path) },
		"boot":         func(n *node, path string) { a.Boot = d.boot(n, path) },
		"transfer":     func(n *node, path string) { a.Transfer = d.transfer(n, path) },
		"retain":       d.whole(&a.Retain, 1, 1000),
		"volumes":      d.volumes(&base.volumes),
		"labels":       d.labels(&base.labels),
		"stop_timeout": d.duration(&base.stopTimeout, 0),
		"secrets_path": d.filePath(&secrets),
	})
	a.SecretFiles = []string{secrets}
	for _, key := range []string{"service", "image", "servers"} {
		if n := root.get(key); n == nil || n.kind == null {
			d.add(Error{File: path, Path: key, Message: "is required"})
		}
	}
	if n := root.get("servers"); n != nil && n.kind != null {
		a.Roles = d.roles(n, "servers", base)
		d.checkProxied(a.Roles, n, base.proxy)
		d.checkGroups(a, root.get("transfer"))
	}
	return a
}

func (d decoder) ssh(n *node, path string) SSH {
	var s SSH
	d.section(n, path, "ssh", keys{
		"user":      d.text(&s.User, checkUser),
		"port":      d.port(&s.Port),
		"jump":      d.text(&s.Jump, checkJump),
		"config":    d.sshConfig(&s.Config),
		"keys":      d.filePaths(&s.Keys),
		"host_keys": d.hostKeys(&s.HostKeys),
	})
	return s
}

func checkUser(s string) error {
	if strings.ContainsAny(s, "@: ") {
		return hinted{"not a user's name", "the name alone; the host is in servers"}
	}
	return checkHost(s + "@host")
}

// checkJump takes a chain of hosts, as ProxyJump does.
func checkJump(s string) error {
	for hop := range strings.SplitSeq(s, ",") {
		if err := checkHost(hop); err != nil {
			return err
		}
	}
	return nil
}

// sshConfig reads a path, or false for "use none".
func (d decoder) sshConfig(to *string) read {
	return func(n *node, path string) {
		if n.kind == scalar && n.tag == "!!bool" {
			use := true
			if d.flag(&use)(n, path); !use {
				*to = "none"
			}
			return
		}
		d.filePath(to)(n, path)
	}
}

func (d decoder) hostKeys(to *map[string]string) read {
	return func(n *node, path string) {
		all := make(map[string]string)
		d.each(n, path, checkHost, func(key string, value *node, path string) {
			s := ""
			d.text(&s, checkHostKey)(value, path)
			all[key] = strings.Join(strings.Fields(s), " ")
		})
		*to = all
	}
}

func (d decoder) labels(to *map[string]string) read {
	return func(n *node, path string) {
		all := make(map[string]string)
		d.each(n, path, checkLabel, func(key string, value *node, path string) {
			if s, ok := d.value(value, path); ok {
				all[key] = s
			}
		})
		*to = all
	}
}

// each decodes a map whose keys are free, as long as they pass check.
func (d decoder) each(n *node, path string, check func(string) error, take func(key string, value *node, path string)) {
	if n.kind == null {
		return
	}
	if n.kind != mapping {
		d.fail(n, path, "", "expected a map, got %s", n.what())
		return
	}
	for _, e := range n.entries {
		if err := check(e.key); err != nil {
			d.refuse(&node{kind: scalar, src: e.src, line: e.line, column: e.column, text: e.key}, path, err)
			continue
		}
		take(e.key, e.value, join(path, e.key))
	}
}

// value reads a value of an environment or a label: any scalar, as it is written.
func (d decoder) value(n *node, path string) (string, bool) {
	if n.kind == null {
		d.fail(n, path, `write "" for an empty value`, "has no value")
		return "", false
	}
	s, ok := d.scalar(n, path, "text")
	if ok && strings.Contains(s, "\x00") {
		d.fail(n, path, "", "contains a NUL")
		return "", false
	}
	return s, ok
}

func (d decoder) boot(n *node, path string) Boot {
	b := Boot{Watch: defaultWatch}
	d.section(n, path, "boot", keys{
		"limit": func(n *node, path string) { d.limit(n, path, &b) },
		"wait":  d.duration(&b.Wait, 0),
		"watch": d.duration(&b.Watch, 0),
	})
	if b.Watch > maxWatch {
		w := n.get("watch")
		d.fail(w, join(path, "watch"), "", "%s is too long, the most is %s", w.shown(), "10m")
	}
	return b
}

// defaultWatch is as long as what crashes on its first requests takes to do so. Old containers drain meanwhile, so that it
// costs a deploy less than it lasts.
const defaultWatch = 3 * time.Second

// maxWatch bounds how long the lock is held, and two releases run, for no other reason.
const maxWatch = 10 * time.Minute

// limit reads a number of hosts or a percentage of them.
func (d decoder) limit(n *node, path string, b *Boot) {
	if n.kind == scalar && strings.HasSuffix(n.text, "%") {
		number := *n
		number.text, number.tag = strings.TrimSpace(strings.TrimSuffix(n.text, "%")), ""
		if number.raw == "" {
			number.raw = n.text
		}
		d.whole(&b.Percent, 1, 100)(&number, path)
		return
	}
	d.whole(&b.Limit, 1, 100_000)(n, path)
}

// inherited is what roles take over from the root.
type inherited struct {
	env, proxy  *node
	volumes     []string
	labels      map[string]string
	stopTimeout time.Duration // 0 = not said
}
