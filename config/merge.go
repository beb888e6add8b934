package config

// normalise gives every environment its full form, so that the short form in one file merges with the long one in
// another: env: {K: V} becomes env: {clear: {K: V}}.
func normalise(root *node) {
	fullEnv(root)
	if servers := root.get("servers"); servers != nil && servers.kind == mapping {
		for _, role := range servers.entries {
			fullEnv(role.value)
		}
	}
}

func fullEnv(owner *node) {
	env := owner.get("env")
	if env == nil || env.kind != mapping || env.get("clear") != nil || env.get("secret") != nil || env.get("tags") != nil {
		return
	}
	inner := *env
	env.entries = []entry{{key: "clear", line: env.line, column: env.column, src: env.src, value: &inner}}
}

// merge lays over on base: maps are merged, everything else is replaced. Neither is changed.
func merge(base, over *node) *node {
	if base == nil || over == nil || base.kind != mapping || over.kind != mapping {
		if over == nil {
			return base
		}
		return over
	}
	n := *base
	n.entries = nil
	for _, e := range base.entries {
		if replaced(over, e.key) {
			continue
		}
		e.value = merge(e.value, over.get(e.key))
		n.entries = append(n.entries, e)
	}
	for _, e := range over.entries {
		if base.get(e.key) == nil {
			n.entries = append(n.entries, e)
		}
	}
	return &n
}

// replaced says whether over makes a key of the base void: with the other spelling of what may be written as one host or
// as a list of hosts, or with hosts of its own, among which the base's canonical host is not looked for, or with a path
// prefix of its own, below which the base's redirects are not.
func replaced(over *node, key string) bool {
	switch key {
	case "host":
		return over.get("hosts") != nil
	case "hosts":
		return over.get("host") != nil
	case "canonical_host":
		return (over.get("host") != nil || over.get("hosts") != nil) && over.get("canonical_host") == nil
	case "redirects":
		return over.get("path_prefix") != nil && over.get("redirects") == nil
	}
	return false
}

// origins are the places of all scalars below n.
func origins(n *node, path string, all []Origin) []Origin {
	switch n.kind {
	case scalar:
		all = append(all, Origin{path, n.src.name, n.line, n.column})
	case list:
		for i, item := range n.items {
			all = origins(item, index(path, i), all)
		}
	case mapping:
		for _, e := range n.entries {
			all = origins(e.value, join(path, e.key), all)
		}
	}
	return all
}
