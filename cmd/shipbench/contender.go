//go:build linux

package main

import (
	"fmt"
	"strings"
)

// contender is a way to bring an image to hosts. Its script runs on the controller, as root, with bash.
type contender struct {
	name   string
	script func(tag string, hosts []string) string
	ref    func(tag string) string // the image's name on the hosts
}

const (
	repository  = "bulk"
	layoutDir   = "/srv/images"
	shipCache   = "/var/cache/ship-bench"
	registryDir = "/var/cache/registry"
)

func contenders() []contender {
	plain := func(tag string) string { return repository + ":" + tag }
	remote := func(tag string) string { return registryAddr + "/" + plain(tag) }
	ship := func(source string) func(string, []string) string {
		return func(tag string, hosts []string) string {
			return fmt.Sprintf("SHIP_CACHE=%s ship push --quiet --tag %s %s:%s %s", shipCache, plain(tag), source, tag, strings.Join(hosts, " "))
		}
	}
	return []contender{
		{"ship, from the engine", ship("docker-daemon:" + repository), plain},
		{"ship, from an OCI layout", ship("oci:" + layoutDir + ":" + repository), plain},
		{"docker save, zstd, ssh docker load", func(tag string, hosts []string) string {
			return atOnce(hosts, "docker save "+plain(tag)+" | zstd -q -3 -T0 | ssh $h docker load -q")
		}, plain},
		{"docker pull through ssh -R", func(tag string, hosts []string) string {
			return atOnce(hosts, "ssh -R "+registryAddr[len("127.0.0.1:"):]+":"+registryAddr+" $h docker pull -q "+remote(tag))
		}, remote},
	}
}

// atOnce runs the command for all hosts at the same time and fails when one does.
func atOnce(hosts []string, command string) string {
	return "set -o pipefail; p=; for h in " + strings.Join(hosts, " ") + "; do { " + command + "; } & p=\"$p $!\"; done; s=0; for i in $p; do wait $i || s=1; done; exit $s"
}
