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
	for _, bad := range [][]string{{"proxy.example.com"}, {"10.0.0.0/33"}, {"fe80::1%eth0"}, {"::ffff:10.0.0.0/104"}, {""}, make([]string, maxTrusted+1)} {
		if _, err := (Service{Name: "a", TrustedProxies: bad}).withDefaults(); err == nil {
			t.Errorf("%.80q is taken", bad)
		}
	}
}
