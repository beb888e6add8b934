package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
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

func TestRequestTrailers(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	a.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.Trailer.Get("X-Sum"))
	})
	g.deploy(Service{Name: "a"}, a.Target, 1)
	got := g.raw("POST /sum HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n")
	if !strings.HasSuffix(got, "\r\n\r\n42") {
		t.Errorf("%s", got)
	}
}
