package docker

import (
	"context"
	"fmt"
	"net"
	"strings"

	"ship/internal/plain"
)

// defaultSocket is where an engine listens unless told otherwise.
const defaultSocket = "/var/run/docker.sock"

// Local dials the engine of this machine: DOCKER_HOST if it names a unix socket, else the usual socket. A DOCKER_HOST
// of another kind is refused rather than passed over: the image a person means is in that engine, not in this one.
func Local(env func(string) string) (Dialer, error) {
	path := defaultSocket
	if host := env("DOCKER_HOST"); host != "" {
		p, ok := strings.CutPrefix(host, "unix://")
		if !ok || !strings.HasPrefix(p, "/") {
			return nil, fmt.Errorf("DOCKER_HOST is %q: only unix:///path/to/docker.sock is supported", plain.Line(host, 200))
		}
		path = p
	}
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}, nil
}
