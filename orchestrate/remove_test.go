package orchestrate

import (
	"errors"
	"slices"
	"testing"

	"ship/internal/docker"
	"ship/proxy"
)

func TestNewRemovePlan(t *testing.T) {
	deployed := func(name, role string, running bool, volumes ...string) Deployed {
		d := Deployed{Role: role, Container: docker.Container{Name: name, Running: running}}
		for _, v := range volumes {
			d.Spec.Mounts = append(d.Spec.Mounts, docker.Mount{Type: "volume", Source: v})
		}
		d.Spec.Mounts = append(d.Spec.Mounts, docker.Mount{Type: "bind", Source: "/srv"}, docker.Mount{Type: "volume"})
		return d
	}
	o := Observed{Host: "a", Deployed: []Deployed{deployed("web-2", "web", true, "uploads", "shared"), deployed("web-1", "web", false, "uploads"), deployed("jobs-1", "jobs", true, "shared", "queue")}}
	for _, name := range []string{"shop.web", "shop.staging.web", "shopping.web", "other.web", "shop.api"} {
		o.Proxy.Status.Services = append(o.Proxy.Status.Services, proxy.ServiceStatus{Service: proxy.Service{Name: name}})
	}
	o.Proxy.Status.Bad = map[string]string{"shop.old": "cut short"}
	for name, tt := range map[string]struct {
		app                           App
		roles                         []string
		volumes                       bool
		services, containers, removed []string
	}{
		"all":              {App{"shop", ""}, nil, false, []string{"shop.api", "shop.old", "shop.web"}, []string{"web-2", "web-1", "jobs-1"}, nil},
		"with volumes":     {App{"shop", ""}, nil, true, []string{"shop.api", "shop.old", "shop.web"}, []string{"web-2", "web-1", "jobs-1"}, []string{"queue", "shared", "tmp", "uploads"}},
		"one role's":       {App{"shop", ""}, []string{"web"}, true, []string{"shop.web"}, []string{"web-2", "web-1"}, []string{"tmp", "uploads"}},
		"of a destination": {App{"shop", "staging"}, []string{"web"}, false, []string{"shop.staging.web"}, []string{"web-2", "web-1"}, nil},
	} {
		p := NewRemovePlan(tt.app, func(role string) bool { return tt.roles == nil || slices.Contains(tt.roles, role) }, tt.volumes, []string{"tmp", "uploads"}, o)
		var names []string
		for _, d := range p.Containers {
			names = append(names, d.Name)
		}
		if !slices.Equal(p.Services, tt.services) || !slices.Equal(names, tt.containers) || !slices.Equal(p.Volumes, tt.removed) || p.Empty() {
			t.Errorf("%s: %v, %v, %v", name, p.Services, names, p.Volumes)
		}
	}
	if p := NewRemovePlan(App{"nothing", ""}, func(string) bool { return true }, true, nil, Observed{Host: "a"}); !p.Empty() {
		t.Errorf("%+v", p)
	}
}

func TestRemovable(t *testing.T) {
	for name, tt := range map[string]struct {
		p  ObservedProxy
		ok bool
	}{
		"no proxy":        {ObservedProxy{}, true},
		"runs":            {ObservedProxy{Exists: true, Running: true}, true},
		"stopped":         {ObservedProxy{Exists: true}, false},
		"does not answer": {ObservedProxy{Exists: true, Running: true, Err: errors.New("silent")}, false},
	} {
		err := Removable(Observed{Proxy: tt.p})
		var refused *RefusedError
		if (err == nil) != tt.ok || err != nil && !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
