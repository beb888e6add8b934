package proxy

import (
	"fmt"
	"strings"
	"testing"
)

func TestRedirects(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	table := map[string]string{"/old": "/new", "/with space": "/new?x=1", "/away": "https://example.com/there"}
	g.deploy(Service{Name: "a", Redirects: table}, a.Target, 1)
	for request, want := range map[string]string{
		"GET /old":           "/new",
		"POST /old?a=1&b=%2": "/new?a=1&b=%2",
		"GET /with%20space?": "/new?x=1",
		"GET /away?q":        "https://example.com/there?q",
		"GET /old/":          "",
		"GET /older":         "",
		"GET /Old":           "",
	} {
		before := a.requests.Load()
		raw := g.raw(request + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if want == "" {
			if strings.Contains(raw, "Location:") || a.requests.Load() != before+1 {
				t.Errorf("%s: %s", request, raw)
			}
			continue
		}
		if !strings.HasPrefix(raw, "HTTP/1.1 308") || !strings.Contains(raw, "\r\nLocation: "+want+"\r\n") || a.requests.Load() != before {
			t.Errorf("%s: want %s:\n%s", request, want, raw)
		}
	}
	if raw := g.raw("GET /old?a\x0b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); strings.Contains(raw, "\x0b") {
		t.Errorf("%q", raw)
	}
}

func TestRedirectsAreChecked(t *testing.T) {
	many := map[string]string{}
	for n := range maxRedirects + 1 {
		many[fmt.Sprint("/", n)] = "/x"
	}
	for name, table := range map[string]map[string]string{
		"a ring of one": {"/api/a": "/api/a"}, "a ring": {"/api/a": "/api/b", "/api/b": "/api/a"}, "a chain": {"/api/a": "/api/b?x", "/api/b": "/api/c"}, "elsewhere": {"/other": "/api/x"},
		"no path": {"a": "/api/x"}, "a query": {"/api/a?b": "/api/x"}, "nowhere": {"/api/a": ""}, "another host by its path": {"/api/a": "//example.com"}, "backslash": {"/api/a": `/\example.com`},
		"a script": {"/api/a": "javascript:alert(1)"}, "a line break": {"/api/a": "/b\r\nX: y"}, "a password": {"/api/a": "https://u:p@example.com"}, "too many": many,
	} {
		if _, err := (Service{Name: "a", PathPrefix: "/api", Redirects: table}).withDefaults(); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := (Service{Name: "a", PathPrefix: "/api", Redirects: map[string]string{"/api/a": "/api/b", "/api/c": "https://example.com/api/a"}}).withDefaults(); err != nil {
		t.Error(err)
	}
}
