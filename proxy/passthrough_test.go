package proxy

import (
	"bufio"
	"io"
	"net/http"
	"testing"
)

// TestEarlyFrames has a client that does not wait for the 101 before it speaks.
func TestEarlyFrames(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	g.deploy(Service{Name: "a"}, a.Target, 1)
	c := g.dial()
	_, _ = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"+string(frame(1, []byte("early"))))
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", resp, err)
	}
	if _, b, err := readFrame(r); err != nil || string(b) != "early" {
		t.Errorf("%q, %v", b, err)
	}
}
