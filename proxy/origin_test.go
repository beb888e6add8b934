package proxy

import (
	"net/http"
	"strings"
	"testing"
)

func TestOrigin(t *testing.T) {
	for name, tt := range map[string]struct {
		peer      string
		forwarded []string
		client    string
		trusted   bool
	}{
		"nobody in front":           {"203.0.113.9:1", nil, "203.0.113.9", false},
		"a client that claims":      {"203.0.113.9:1", []string{"6.6.6.6"}, "203.0.113.9", false},
		"one proxy":                 {"10.1.2.3:1", []string{"198.51.100.7"}, "198.51.100.7", true},
		"one proxy says nothing":    {"10.1.2.3:1", nil, "10.1.2.3", true},
		"a client's own line first": {"10.1.2.3:1", []string{"6.6.6.6, 198.51.100.7"}, "198.51.100.7", true},
		"two proxies":               {"10.1.2.3:1", []string{"6.6.6.6", "198.51.100.7, 192.0.2.7"}, "198.51.100.7", true},
		"all are proxies":           {"10.1.2.3:1", []string{"10.0.0.1, 192.0.2.7"}, "10.0.0.1", true},
		"no address ends the way":   {"10.1.2.3:1", []string{"198.51.100.7, unknown, 10.0.0.1"}, "10.0.0.1", true},
		"nor does nothing":          {"10.1.2.3:1", []string{"198.51.100.7,, 10.0.0.1"}, "10.0.0.1", true},
		"with ports":                {"[2001:db8::1]:1", []string{"198.51.100.7:4711, [2001:db8::2]:80"}, "198.51.100.7", true},
		"IPv4 in IPv6":              {"[::ffff:10.1.2.3]:1", []string{"::ffff:198.51.100.7"}, "198.51.100.7", true},
		"next to the network":       {"192.0.2.8:1", []string{"198.51.100.7"}, "192.0.2.8", false},
		"no address at all":         {"@", []string{"198.51.100.7"}, "@", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newLive(Service{TrustedProxies: []string{"10.0.0.0/8", "2001:db8::/32", "192.0.2.7"}}, nil)
			o := s.origin(&http.Request{RemoteAddr: tt.peer, Header: http.Header{"X-Forwarded-For": tt.forwarded}})
			if o.client != tt.client || o.trusted != tt.trusted {
				t.Errorf("%+v, want %s, %t", o, tt.client, tt.trusted)
			}
		})
	}
}

// TestBehindATrustedProxy: its words reach the app, with its own address added; what is no forwarding header, or no
// protocol, does not.
func TestBehindATrustedProxy(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	a.echo("/echo")
	g.deploy(Service{Name: "a", TrustedProxies: []string{"127.0.0.0/8"}}, a.Target, 1)
	sent := []string{"Host", "shop.example", "X-Forwarded-For", "198.51.100.7", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "www.shop.example", "X-Forwarded-Port", "443",
		"Forwarded", "for=198.51.100.7", "X-Real-Ip", "6.6.6.6", "X_Forwarded_For", "6.6.6.6", "X-Forwarded-Prefix", "/evil"}
	want := map[string]string{"X-Forwarded-For": "198.51.100.7, 127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "www.shop.example", "X-Forwarded-Port": "443",
		"Forwarded": "for=198.51.100.7", "X-Real-Ip": "198.51.100.7", "X_Forwarded_For": "", "X-Forwarded-Prefix": ""}
	e := g.echoed("/echo", sent...)
	for name, w := range want {
		if got := strings.Join(e.Header[name], "|"); got != w {
			t.Errorf("%s: %q, want %q", name, got, w)
		}
	}
	e = g.echoed("/echo", "Host", "shop.example", "X-Forwarded-Proto", "javascript")
	for name, w := range map[string]string{"X-Forwarded-Proto": "http", "X-Forwarded-Host": "shop.example", "X-Forwarded-For": "127.0.0.1"} {
		if got := e.Header.Get(name); got != w {
			t.Errorf("%s: %q, want %q", name, got, w)
		}
	}
}

func TestTrustedProxiesAreChecked(t *testing.T) {
	for _, bad := range [][]string{{"proxy.example.com"}, {"10.0.0.0/33"}, {"fe80::1%eth0"}, {"::ffff:10.0.0.0/104"}, {""}, make([]string, maxNetworks+1)} {
		for _, s := range []Service{{Name: "a", TrustedProxies: bad}, {Name: "a", Allow: bad}} {
			if _, err := s.withDefaults(); err == nil {
				t.Errorf("%.80q is taken", bad)
			}
		}
	}
}

// TestAllow: by the client's own address, which only a trusted proxy can tell.
func TestAllow(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	for generation, tt := range []struct {
		service   Service
		forwarded string
		want      int
	}{
		{Service{Allow: []string{"127.0.0.1"}}, "", http.StatusOK},
		{Service{Allow: []string{"198.51.100.0/24"}}, "", http.StatusForbidden},
		{Service{Allow: []string{"198.51.100.0/24"}}, "198.51.100.7", http.StatusForbidden},
		{Service{Allow: []string{"198.51.100.0/24"}, TrustedProxies: []string{"127.0.0.1"}}, "198.51.100.7", http.StatusOK},
		{Service{Allow: []string{"127.0.0.1"}, TrustedProxies: []string{"127.0.0.1"}}, "198.51.100.7", http.StatusForbidden},
	} {
		tt.service.Name = "a"
		g.deploy(tt.service, a.Target, int64(generation+1))
		var header []string
		if tt.forwarded != "" {
			header = []string{"X-Forwarded-For", tt.forwarded}
		}
		if resp, body := g.get("/", header...); resp.StatusCode != tt.want {
			t.Errorf("%+v, for %q: %d %s", tt.service, tt.forwarded, resp.StatusCode, body)
		}
	}
}

// TestCanonicalHost: the other names lead to it, with path, query, port and method as they were.
func TestCanonicalHost(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	g.deploy(Service{Name: "a", Hosts: []string{"shop.example", "www.shop.example"}, CanonicalHost: "Shop.Example", TrustedProxies: []string{"127.0.0.1"}}, a.Target, 1)
	for request, want := range map[string]string{
		"GET /a%2Fb?x=1 HTTP/1.1\r\nHost: www.shop.example\r\n":                         "http://shop.example/a%2Fb?x=1",
		"POST //evil.example/ HTTP/1.1\r\nHost: WWW.shop.example.:8080\r\n":             "http://shop.example:8080//evil.example/",
		"GET / HTTP/1.1\r\nHost: www.shop.example\r\nX-Forwarded-Proto: https\r\n":      "https://shop.example/",
		"GET / HTTP/1.1\r\nHost: www.shop.example\r\nX-Forwarded-Proto: javascript\r\n": "http://shop.example/",
		"GET / HTTP/1.1\r\nHost: shop.example\r\n":                                      "",
		"GET / HTTP/1.1\r\nHost: SHOP.example.\r\n":                                     "",
	} {
		raw := g.raw(request + "Connection: close\r\n\r\n")
		status, location := "HTTP/1.1 200", ""
		if want != "" {
			status, location = "HTTP/1.1 308", "\r\nLocation: "+want+"\r\n"
		}
		if !strings.HasPrefix(raw, status) || !strings.Contains(raw, location) {
			t.Errorf("%q: want %s to %q:\n%s", request, status, want, raw)
		}
	}
	for _, bad := range []string{"*.example", "a b", "http://x"} {
		if _, err := (Service{Name: "a", CanonicalHost: bad}).withDefaults(); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
