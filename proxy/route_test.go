package proxy

import (
	"fmt"
	"strings"
	"testing"
)

func TestNormalHost(t *testing.T) {
	for in, want := range map[string]string{
		"shop.example": "shop.example", "SHOP.Example": "shop.example", "shop.example.": "shop.example", "shop.example:8080": "shop.example", "Shop.example.:80": "shop.example",
		"127.0.0.1:80": "127.0.0.1", "[::1]:80": "::1", "[::1]": "::1", "[2001:DB8::1]": "2001:db8::1", "[2001:db8:0:0::1]:80": "2001:db8::1", "a_b": "a_b", "*.shop.example": "*.shop.example",
		"": "", ".": "", "a..b": "", ".a": "", "a..": "", "a b": "", "a/b": "", "a@b": "", "ä.example": "", "[::1%eth0]": "", "a:b:c": "", "[": "", "]": "", "[[a]]": "", "a\x00": "",
		strings.Repeat("x", 254): "",
	} {
		if got := normalHost(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	var all []*live
	for _, s := range []Service{
		{Name: "any"},
		{Name: "any-api", PathPrefix: "/api"},
		{Name: "shop", Hosts: []string{"shop.example", "::1"}},
		{Name: "shop-api", Hosts: []string{"shop.example"}, PathPrefix: "/api"},
		{Name: "shop-api-v2", Hosts: []string{"shop.example"}, PathPrefix: "/api/v2"},
		{Name: "wild", Hosts: []string{"*.shop.example"}},
		{Name: "exact", Hosts: []string{"www.shop.example"}, PathPrefix: "/only"},
	} {
		s, err := s.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &live{Service: s})
	}
	r := newRoutes(all)
	for _, c := range []struct{ host, path, want string }{
		{"shop.example", "/", "shop"},
		{"shop.example", "/apix", "shop"},
		{"shop.example", "/api", "shop-api"},
		{"shop.example", "/api/", "shop-api"},
		{"shop.example", "/api/v2", "shop-api-v2"},
		{"shop.example", "/api/v2x", "shop-api"},
		{"shop.example", "/API", "shop"},
		{"Shop.Example.:8080", "/api/v2/x", "shop-api-v2"},
		{"[::1]:80", "/", "shop"},
		{"a.shop.example", "/", "wild"},
		{"a.shop.example", "/api", "wild"},
		{"b.a.shop.example", "/", "any"},
		{"www.shop.example", "/only/x", "exact"},
		{"www.shop.example", "/", "wild"},
		{"other", "/api/x", "any-api"},
		{"", "/", "any"},
		{"a b", "/", "any"},
	} {
		if got := r.find(normalHost(c.host), c.path); got == nil || got.Name != c.want {
			t.Errorf("%s%s: %v, want %s", c.host, c.path, got, c.want)
		}
	}
	if got := newRoutes(all[2:]).find("other", "/"); got != nil {
		t.Errorf("unknown host: %s", got.Name)
	}
}

func TestUnknownHost(t *testing.T) {
	g := start(t)
	g.deploy(Service{Name: "a", Hosts: []string{"shop.example"}}, newApp(t, "v1").Target, 1)
	if resp, b := g.get("/", "Host", "other.example"); resp.StatusCode != 404 || strings.Contains(b, "shop") {
		t.Errorf("%d %s", resp.StatusCode, b)
	}
	if _, b := g.get("/", "Host", "SHOP.example.:99"); b != "v1" {
		t.Errorf("%s", b)
	}
	if raw := g.raw("GET http://shop.example/ HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n"); !strings.HasSuffix(raw, "v1") {
		t.Errorf("absolute form: %s", raw)
	}
}

func TestServiceChecks(t *testing.T) {
	for _, bad := range []Service{
		{}, {Name: "A"}, {Name: "../a"}, {Name: strings.Repeat("a", maxName+1)},
		{Name: "a", Hosts: make([]string, maxHosts+1)}, {Name: "a", Hosts: []string{""}}, {Name: "a", Hosts: []string{"*"}}, {Name: "a", Hosts: []string{"a.*.b"}}, {Name: "a", Hosts: []string{"*.*.b"}},
		{Name: "a", PathPrefix: "/a//b"}, {Name: "a", PathPrefix: "/a/../b"}, {Name: "a", PathPrefix: "/a?b"}, {Name: "a", PathPrefix: "/a b"}, {Name: "a", PathPrefix: "/a%20b"},
		{Name: "a", Health: HealthCheck{Path: "up"}},
	} {
		if s, err := bad.withDefaults(); err == nil {
			t.Errorf("%+v is let pass", s)
		}
	}
	s, err := Service{Name: "a-1_b", Hosts: []string{"*.Example.org"}, PathPrefix: "api/", Health: HealthCheck{Interval: 1, Successes: 1000}}.withDefaults()
	if err != nil || s.Hosts[0] != "*.example.org" || s.PathPrefix != "/api" || s.Health.Path != "/up" || s.Health.Interval != Duration(minInterval) || s.Health.Successes != 100 {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range []Target{{}, {ID: "x"}, {ID: "x", Address: "host:80"}, {ID: "x", Address: "1.2.3.4"}, {Address: "1.2.3.4:80"}} {
		if bad.check() == nil {
			t.Errorf("%+v is let pass", bad)
		}
	}
}

func TestDuration(t *testing.T) {
	var d Duration
	if err := d.UnmarshalText([]byte("1m30s")); err != nil || d != Duration(90e9) {
		t.Errorf("%v, %v", d, err)
	}
	if b, err := d.MarshalText(); string(b) != "1m30s" || err != nil {
		t.Errorf("%s, %v", b, err)
	}
	if d.UnmarshalText([]byte("soon")) == nil {
		t.Error("no error")
	}
}

func FuzzNormalHost(f *testing.F) {
	for _, s := range []string{"shop.example", "A.b.:80", "[::1]:80", "*.x", "a..", "::", "[::ffff:1.2.3.4]", "a:b", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h := normalHost(s)
		if again := normalHost(h); again != h {
			t.Errorf("%q: %q, and that is %q", s, h, again)
		}
		if len(h) > 253 || strings.ContainsAny(h, " /\\@?#[]\x00\r\n") || h != strings.ToLower(h) {
			t.Errorf("%q: %q", s, h)
		}
	})
}

// FuzzFind compares the snapshot with a plain reading of the rules.
func FuzzFind(f *testing.F) {
	f.Add("a.example", "*.example", "/api", "a.example", "/api/x")
	f.Add("", "", "/", "x", "*")
	f.Add("b.a.example", "*.a.example", "/a/b", "B.a.example.:1", "/a/bc")
	f.Fuzz(func(t *testing.T, host1, host2, prefix, host, path string) {
		var all []*live
		for n, h := range []string{host1, host2} {
			for m, p := range []string{"/", prefix} {
				s := Service{Name: fmt.Sprint("s", n, m), PathPrefix: p}
				if h != "" {
					s.Hosts = []string{h}
				}
				s, err := s.withDefaults()
				if err != nil {
					return
				}
				all = append(all, &live{Service: s})
			}
		}
		host = normalHost(host)
		got := newRoutes(all).find(host, path)
		best := -1
		for _, s := range all {
			if score := rank(s.Service, host, path); score > best {
				best = score
			}
		}
		if got == nil && best >= 0 || got != nil && rank(got.Service, host, path) != best {
			t.Errorf("%q %q: %v, best %d", host, path, got, best)
		}
	})
}

// rank is -1 where the service does not match; a more exact host beats any prefix.
func rank(s Service, host, path string) int {
	if s.PathPrefix != "/" && path != s.PathPrefix && !strings.HasPrefix(path, s.PathPrefix+"/") {
		return -1
	}
	if len(s.Hosts) == 0 {
		return len(s.PathPrefix)
	}
	label, rest, _ := strings.Cut(host, ".")
	switch h := s.Hosts[0]; {
	case h == host:
		return 2<<20 + len(s.PathPrefix)
	case h == "*."+rest && host == label+"."+rest:
		return 1<<20 + len(s.PathPrefix)
	}
	return -1
}
