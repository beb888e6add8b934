package main

import (
	"strings"
	"testing"

	"ship/config"
	"ship/orchestrate"
	"ship/proxy"
)

func TestHTTPSCheck(t *testing.T) {
	secure := proxy.Status{Services: []proxy.ServiceStatus{{Service: proxy.Service{TLS: &proxy.TLS{}}}}}
	plain := proxy.Status{Services: []proxy.ServiceStatus{{}}}
	for name, tt := range map[string]struct {
		o     orchestrate.Observed
		ok    bool
		found string
	}{
		"no proxy, free port":      {orchestrate.Observed{Listening: []int{22, 80}}, true, "port 443 is free"},
		"no proxy, taken port":     {orchestrate.Observed{Listening: []int{22, 443}}, false, "port 443 is taken"},
		"nobody has TLS yet":       {orchestrate.Observed{Listening: []int{80}, Proxy: orchestrate.ObservedProxy{Running: true, HTTPSPort: 443, Status: plain}}, true, "is free"},
		"nobody has TLS, taken":    {orchestrate.Observed{Listening: []int{443}, Proxy: orchestrate.ObservedProxy{Running: true, HTTPSPort: 443, Status: plain}}, false, "is taken"},
		"the proxy listens itself": {orchestrate.Observed{Listening: []int{443}, Proxy: orchestrate.ObservedProxy{Running: true, HTTPSPort: 443, Status: secure}}, true, "the proxy listens"},
		"another port":             {orchestrate.Observed{Proxy: orchestrate.ObservedProxy{Running: true, HTTPSPort: 8443, Status: secure}}, false, "proxy.run.https_port says 443"},
		"an old proxy":             {orchestrate.Observed{Proxy: orchestrate.ObservedProxy{Running: true, Status: plain}}, false, "without https"},
	} {
		if c := httpsCheck(tt.o, 443); c.OK != tt.ok || !strings.Contains(c.Found, tt.found) || c.OK != (c.Hint == "") {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestWhoWantsTLS(t *testing.T) {
	c := &target{conf: &config.App{Roles: []config.Role{
		{Hosts: []string{"a", "b"}, Proxy: &config.Proxy{TLS: &config.TLS{}}}, {Hosts: []string{"c"}, Proxy: &config.Proxy{}}, {Hosts: []string{"d"}},
	}}}
	for host, want := range map[string]bool{"a": true, "b": true, "c": false, "d": false} {
		if got := c.wantsTLS(host); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}
