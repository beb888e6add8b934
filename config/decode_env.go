package config

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// env decodes clear values and names of secrets; normalise has made it the long form.
func (d decoder) env(n *node, path string) Env {
	e := Env{Clear: make(map[string]string)}
	if n == nil {
		return e
	}
	d.section(n, path, "env", keys{
		"clear": func(n *node, path string) {
			d.each(n, path, checkVariable, func(key string, value *node, path string) {
				if s, ok := d.value(value, path); ok {
					e.Clear[key] = s
				}
			})
		},
		"secret": func(n *node, path string) { e.Secret = d.secrets(n, path) },
	})
	for _, s := range e.Secret {
		if _, both := e.Clear[s.Name]; both {
			d.fail(n, path, "", "%s is clear and secret", clip(s.Name))
		}
	}
	return e
}

// secrets reads NAME or NAME:SOURCE.
func (d decoder) secrets(n *node, path string) []SecretRef {
	if n.kind == list {
		for i, item := range n.items {
			if strings.Contains(item.text, "=") { // the message must not show what follows it
				name, _, _ := strings.Cut(cmp.Or(item.raw, item.text), "=")
				d.fail(item, index(path, i), "its value stands in the environment or in the file secrets_path, never here",
					"%s: only the name belongs here", clip(name))
				item.kind = broken
			}
		}
	}
	var all []string
	d.lines(&all, checkSecret)(n, path)
	var refs []SecretRef
	for _, s := range all {
		name, from, found := strings.Cut(s, ":")
		if !found {
			from = name
		}
		if slices.ContainsFunc(refs, func(r SecretRef) bool { return r.Name == name }) {
			d.fail(n, path, "", "%s is in the list twice", clip(name))
			continue
		}
		refs = append(refs, SecretRef{name, from})
	}
	slices.SortFunc(refs, func(a, b SecretRef) int { return cmp.Compare(a.Name, b.Name) })
	return refs
}

func checkSecret(s string) error {
	name, from, found := strings.Cut(s, ":")
	if err := checkVariable(name); err != nil {
		return err
	}
	if found && !isSecretName(from) {
		return hinted{"not the name of a secret", "NAME, or NAME:SOURCE where the secret has another name"}
	}
	return nil
}

// mergedEnv is the root's environment with the role's over it. A name is clear or secret, whichever is said last.
func (d decoder) mergedEnv(base, own *node, path string) Env {
	if own != nil && own.kind == null {
		own = nil
	}
	root, over := d.env(base, "env"), d.env(own, join(path, "env"))
	both := Env{Clear: maps.Clone(root.Clear)}
	secrets := make(map[string]string)
	for _, s := range root.Secret {
		secrets[s.Name] = s.Source
	}
	for name, value := range over.Clear {
		both.Clear[name] = value
		delete(secrets, name)
	}
	for _, s := range over.Secret {
		secrets[s.Name] = s.Source
		delete(both.Clear, s.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		both.Secret = append(both.Secret, SecretRef{name, secrets[name]})
	}
	return both
}
