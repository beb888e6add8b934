package config

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Template is a first ship.yaml with comments, for `ship init`. Load accepts it if service, image and hosts are good.
// The image may have variables in it.
func Template(service, image string, hosts []string) []byte {
	var list strings.Builder
	for _, h := range hosts {
		fmt.Fprintf(&list, "  - %s\n", quoted(literal(h)))
	}
	return fmt.Appendf(nil, template, quoted(literal(service)), quoted(image), list.String())
}

// ServiceName makes a service's name from another, a folder's for example. It is "app" if nothing is left.
func ServiceName(s string) string {
	var b strings.Builder
	for _, word := range strings.FieldsFunc(strings.ToLower(s), func(c rune) bool {
		return c > 0x7f || c != '_' && !isLetter(byte(c)) && !isDigit(byte(c))
	}) {
		b.WriteString("-" + word)
	}
	name := strings.TrimLeft(b.String(), "-_")
	if name = strings.TrimRight(name[:min(len(name), 40)], "-_"); name == "" {
		return "app"
	}
	return name
}

// literal is s with nothing in it that looks like a variable.
func literal(s string) string { return strings.ReplaceAll(s, "$", "$$") }

// quoted is s as a YAML scalar, in quotes only if it needs them.
func quoted(s string) string {
	switch s {
	case "true", "false", "null":
	default:
		letters := "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@${}"
		if s != "" && strings.Trim(s, letters) == "" && strings.Trim(s[:1], "-:@./{}") != "" && !strings.HasSuffix(s, ":") {
			return s
		}
	}
	b, err := json.Marshal(s)
	if err != nil { // a string always has a JSON form
		return `""`
	}
	return string(b)
}

const template = `# What ship deploys, and where. All keys: docs/config.md. Check with: ship plan

# The name of the app; containers and releases are called after it.
service: %s

# Where the image comes from: docker-daemon:REF (a local Docker engine), docker-archive:FILE, oci-archive:FILE or
# oci:DIR. ${NAME} and ${NAME:-default} take values from the environment: docker-daemon:shop:${VERSION:-latest}
image: %s

# The hosts, as ssh takes them: name, user@name:port, or an alias of ~/.ssh/config.
servers:
%s
# Hosts with different tasks are roles; requests reach only web, unless another one says proxy: true.
# servers:
#   web:
#     hosts: [web-1, web-2]
#   jobs:
#     hosts: [web-2]
#     cmd: bin/jobs
#     healthcheck: { cmd: bin/alive }

# ssh:
#   user: deploy
#   host_keys: { web-1: "ssh-ed25519 AAAA..." }  # checked instead of known_hosts

# How requests reach the app.
proxy:
  # host: shop.example.com   # without it, every name
  app_port: 80               # where the app listens in its container
  healthcheck:
    path: /up                # must answer 2xx before requests go to a new container
  # drain_timeout: 30        # seconds for requests in flight on the old one
  # deploy_timeout: 30       # seconds for a new one to become healthy

# env:
#   clear:
#     RAILS_ENV: production
#   secret:                  # names only; values come from the environment or from .ship/secrets
#     - DATABASE_URL

# How many hosts switch at a time, and the pause between; all at once if not said.
# boot: { limit: 25%%, wait: 2 }

# How images go to the hosts: how much of this machine's uplink, and which hosts may feed each other.
# transfer: { bwlimit: 80mbit, groups: { eu: [web-1], us: [web-2] } }

# Releases that each host keeps for ship rollback.
retain: 5
`
