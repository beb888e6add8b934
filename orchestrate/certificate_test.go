package orchestrate

import (
	"testing"
	"time"

	"ship/internal/docker"
	"ship/proxy"
)

// TestPlanCertify: a certificate goes to the proxies that have another one, and to no others.
func TestPlanCertify(t *testing.T) {
	want := wish(v1, "a")
	want.HTTPSPort = 443
	u := unit("web", v1)
	s := *u.Settings.Service
	s.Hosts, s.TLS = []string{"shop.example"}, &proxy.TLS{}
	u.Settings.Service = &s
	want.Units["a"] = []Unit{u}
	told := func(print string, names ...string) proxy.Certificate {
		return proxy.Certificate{Names: names, Fingerprint: print, NotAfter: time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)}
	}
	want.Certificates = []Certificate{{Role: "web", Told: told("new", "shop.example")}}
	d := deployed("web", v1, 7, serving)
	d.Hash, d.Settings = u.Hash(), u.Settings
	with := func(has *proxy.Certificate, hosts ...string) Observed {
		o := onHostWith("a", d)
		o.Proxy.HTTPSPort = 443
		live := s
		live.Hosts = hosts
		o.Proxy.Status.Services = []proxy.ServiceStatus{{Service: live, Generation: 7, TLSCert: has, Active: &proxy.TargetStatus{Target: proxy.Target{ID: d.ID}}}}
		return o
	}
	same, other, broken := told("new", "shop.example"), told("old", "shop.example"), proxy.Certificate{Error: "it is damaged"}
	for name, tc := range map[string]struct {
		found Observed
		text  string
	}{
		"the same":         {with(&same, "shop.example"), ""},
		"another":          {with(&other, "shop.example"), "a: certify web (another one is served, until 2030-01-02)\n"},
		"another's names":  {with(&other, "old.example"), "a: certify web (another one is served, until 2030-01-02)\n"},
		"broken":           {with(&broken, "shop.example"), "a: certify web (it is damaged)\n"},
		"only http so far": {with(nil, "shop.example"), "a: certify web (it is not served by https yet)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			p, refusals := NewPlan(want, []Observed{tc.found})
			if len(refusals) > 0 {
				t.Fatal(refusals)
			}
			if p.Text() != tc.text {
				t.Errorf("got\n%s\nwant\n%s", p.Text(), tc.text)
			}
		})
	}
	old := Observed{Host: "a", Info: docker.Info{ServerVersion: "28.5.2"}, Proxy: ObservedProxy{Exists: true, Running: true, Port: 80}}
	if _, refusals := NewPlan(want, []Observed{old}); len(refusals) != 1 {
		t.Errorf("a proxy without https: %v", refusals)
	}
}
