package orchestrate

import (
	"reflect"
	"testing"
	"time"

	"ship/config"
	"ship/proxy"
)

// TestGateSettings: what the file says of the gate reaches the proxy, and the password's hash only the role that has one.
func TestGateSettings(t *testing.T) {
	auth := &proxy.BasicAuth{User: "ann", Hash: "h"}
	c := &config.App{Service: "shop", Roles: []config.Role{
		{Name: "web", Hosts: []string{"a"}, Proxy: &config.Proxy{Compress: true, RateLimit: &config.RateLimit{Requests: 5, Per: time.Minute, Burst: 7}, Redirects: map[string]string{"/a": "/b"}}},
		{Name: "api", Hosts: []string{"a"}, Proxy: &config.Proxy{}},
	}}
	units := NewDesired(c, Release{ID: "x"}, nil, map[string]*proxy.BasicAuth{"web": auth}).Units["a"]
	web, api := units[0].Settings.Service, units[1].Settings.Service
	if !web.Compress || *web.RateLimit != (proxy.RateLimit{Requests: 5, Per: proxy.Duration(time.Minute), Burst: 7}) || web.BasicAuth != auth || !reflect.DeepEqual(web.Redirects, map[string]string{"/a": "/b"}) {
		t.Errorf("%+v", web)
	}
	if api.Compress || api.RateLimit != nil || api.BasicAuth != nil || api.Redirects != nil {
		t.Errorf("%+v", api)
	}
}
