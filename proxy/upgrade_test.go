package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// upgrade sends a request and returns the connection behind the 101.
func (g *gateway) upgrade(request string) (net.Conn, *bufio.Reader) {
	g.t.Helper()
	c := g.dial()
	_, _ = io.WriteString(c, request)
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		g.t.Fatalf("upgrade: %v, %v", resp, err)
	}
	return c, r
}
