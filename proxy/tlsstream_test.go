package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestStreamsOverHTTPS: what is long-lived meets its drain deadline as it does by http.
func TestStreamsOverHTTPS(t *testing.T) {
	g, addr := startTLS(t)
	old, next := newApp(t, "v1"), newApp(t, "v2")
	old.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, "more")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	})
	pair := newPair(t, "shop.example")
	g.certify("shop", pair)
	s := Service{Name: "shop", Hosts: []string{"shop.example"}, TLS: &TLS{}}
	g.deploy(s, old.Target, 1)
	c := browser(t, addr, true, pair)
	open := func(path string) *http.Response {
		resp, err := c.Do(request(t, http.MethodGet, "https://shop.example"+path, nil))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		if resp.ProtoMajor != 2 {
			t.Errorf("%s: %s", path, resp.Proto)
		}
		return resp
	}
	events, endless := open("/stream"), open("/endless")

	ws, err := (&tls.Dialer{Config: &tls.Config{ServerName: "shop.example", InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	_ = ws.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(ws, "GET /ws HTTP/1.1\r\nHost: shop.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	r := bufio.NewReader(ws)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", resp, err)
	}
	if _, err := ws.Write(frame(1, []byte("hello"))); err != nil {
		t.Fatal(err)
	}
	if _, b, err := readFrame(r); string(b) != "hello" || err != nil {
		t.Errorf("%q, %v", b, err)
	}

	g.deploy(s, next.Target, 2)
	if _, b := read(t, c, request(t, http.MethodGet, "https://shop.example/", nil)); b != "v2" {
		t.Errorf("the next request on the same connection: %s", b)
	}
	if d, err := g.Drain(t.Context(), "shop", old.ID, 100*time.Millisecond); err != nil || d.InFlight+d.WebSockets == 0 {
		t.Errorf("%+v, %v", d, err)
	}
	if b, err := io.ReadAll(events.Body); err != nil || !bytes.HasPrefix(b, []byte("data: 0\n")) {
		t.Errorf("events end properly: %.40q, %v", b, err)
	}
	if _, err := io.ReadAll(endless.Body); err == nil {
		t.Error("what was cut short looks whole")
	}
	if op, b, err := readFrame(r); op != 8 || !bytes.Equal(b, closeGoingAway[2:]) || err != nil {
		t.Errorf("the WebSocket: %d %q %v", op, b, err)
	}
	if _, b := read(t, c, request(t, http.MethodGet, "https://shop.example/", nil)); b != "v2" {
		t.Errorf("after the cut: %s", b)
	}
}

func TestTLSIsChecked(t *testing.T) {
	for hsts, ok := range map[time.Duration]bool{0: true, time.Hour: true, -time.Second: false, 2 * maxHSTS: false} {
		if _, err := (Service{Name: "a", TLS: &TLS{HSTS: Duration(hsts)}}).withDefaults(); (err == nil) != ok {
			t.Errorf("%s: %v", hsts, err)
		}
	}
}

// TestPrefaceWithoutTLS: HTTP/2 by http is not spoken.
func TestPrefaceWithoutTLS(t *testing.T) {
	g := start(t)
	if got := g.raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 505") && !strings.HasPrefix(got, "HTTP/1.1 400") {
		t.Errorf("%.60q", got)
	}
}

// FuzzPair: whatever lies in a pair's file, it is a certificate that can be served or an error that does not quote it.
func FuzzPair(f *testing.F) {
	good, err := json.Marshal(newPair(f, "shop.example"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"certificate":"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n","private_key":"sentinel-key"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := openStore(t.TempDir())
		if err == nil {
			err = os.WriteFile(filepath.Join(st.dir, "a"+pairSuffix), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		p, err := st.loadPair("a", pairSuffix)
		switch {
		case err != nil && (p != nil || strings.Contains(err.Error(), "sentinel-key")):
			t.Errorf("%v, %v", p, err)
		case err == nil && (p.cert.Leaf == nil || p.told.Fingerprint == ""):
			t.Errorf("%+v", p.told)
		}
		if c, err := st.loadPairs(); err != nil || len(c.pairs)+len(c.wrong) != 1 {
			t.Errorf("%v, %v", c, err)
		}
	})
}

func TestPairIsMissing(t *testing.T) {
	st, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.loadPair("a", pairSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
