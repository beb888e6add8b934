package config

import "testing"

// TestProxyMistake: the place is where the value counts from, the role's before that of all.
func TestProxyMistake(t *testing.T) {
	app := mustLoad(t, "service: shop\nimage: shop\nservers:\n  web: { hosts: [a] }\n  api:\n    hosts: [a]\n    proxy: { path_prefix: /api, error_pages: api }\nproxy: { error_pages: all }\n")
	for role, want := range map[string]string{
		"web": "ship.yaml:8:23: proxy.error_pages: wrong (right)", "api": "ship.yaml:7:46: servers.api.proxy.error_pages: wrong (right)",
	} {
		if got := app.ProxyMistake(role, "error_pages", "right", "wrong").Error(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if app.Roles[0].Proxy.ErrorPages != "all" || app.Roles[1].Proxy.ErrorPages != "api" {
		t.Errorf("%+v", app.Roles)
	}
}
