package config

import (
	"fmt"
	"maps"
	"slices"
)

// elsewhere tells about keys that exist, but not under this name or not here: "section.key" -> what to do. Most are
// the words of Kamal's deploy.yml, which people bring along.
func elsewhere(key string) string {
	switch key {
	case "retain_containers":
		return "the key is retain"
	case "drain_timeout", "deploy_timeout", "response_timeout":
		return "it belongs under proxy"
	case "ssh.proxy", "ssh.proxy_command", "ssh.proxy_jump":
		return "the key is jump; a ProxyCommand goes into ssh_config"
	case "ssh.key_data", "ssh.keys_only", "ssh.identity":
		return "the key is keys, a list of key files"
	case "ssh.forward_agent":
		return "ship never forwards the agent"
	case "registry":
		return "ship needs no registry: remove it"
	case "builder":
		return "build the image first and name it in image"
	case "healthcheck":
		return "it belongs under proxy (HTTP) or under a role (a command)"
	case "host", "hosts":
		return "hosts belong under servers"
	case "cmd":
		return "it belongs under a role in servers"
	case "proxy.port", "proxy.http_port":
		return "the app's port is app_port; the proxy's own is run: {http_port: ...}"
	case "proxy.ssl.certificate_pem", "proxy.ssl.private_key_pem":
		return "certificate is a path, private_key the name of a secret or a path"
	case "error_pages_path", "proxy.error_pages_path":
		return "the key is error_pages, under proxy"
	case "proxy.healthcheck.cmd":
		return "a command belongs into the healthcheck of the role"
	case "secrets":
		return "names go into env: {secret: [...]}, values into the environment or the file secrets_path"
	}
	return ""
}

// later are the keys that ship's configuration has but this version does not do yet.
func later(key string) bool {
	switch key {
	case "accessories", "release", "build", "require_destination", "hooks", "cron",
		"proxy.forward_headers", "proxy.buffering", "proxy.path_prefixes",
		"proxy.logging", "env.tags", "servers.*.replicas", "servers.*.options", "servers.*.logging",
		"logging", "asset_path", "servers.*.asset_path":
		return true
	}
	return false
}

// nearest is `did you mean "hosts"?`, or which keys there are, or nothing.
func nearest[V any](key string, known map[string]V) string {
	best, distance := "", 3
	for _, k := range slices.Sorted(maps.Keys(known)) {
		if d := edits(key, k); d < distance && d*2 <= len(k)+1 {
			best, distance = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return ""
}

// edits is how many letters must be changed, added, removed or swapped with their neighbour to get from a to b.
func edits(a, b string) int {
	const limit = 40 // of a key; longer ones are no slips
	if len(a) > limit || len(b) > limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
