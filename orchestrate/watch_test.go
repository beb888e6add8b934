package orchestrate

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ship/internal/docker"
	"ship/proxy"
)

func TestIll(t *testing.T) {
	web := watched{UnitPlan{Unit: Unit{Settings: Settings{Service: &proxy.Service{Name: "shop.web"}}}}, "new"}
	worker := watched{id: "new"}
	with := func(id, health string) proxy.Status {
		a := &proxy.TargetStatus{Target: proxy.Target{ID: id}, Health: health, Last: "answered 503"}
		return proxy.Status{Services: []proxy.ServiceStatus{{Service: proxy.Service{Name: "other.web"}}, {Service: proxy.Service{Name: "shop.web"}, Active: a}}}
	}
	runs := docker.Container{Running: true}
	for name, tt := range map[string]struct {
		u       watched
		c       docker.Container
		unseen  error
		st      proxy.Status
		failing bool
		cause   string
	}{
		"well":                        {web, runs, nil, with("new", "healthy"), false, ""},
		"not asked yet":               {web, runs, nil, with("new", "unknown"), false, ""},
		"no status":                   {web, runs, nil, proxy.Status{}, false, ""},
		"no answer of the engine":     {web, docker.Container{}, errors.New("broken pipe"), with("new", "healthy"), false, ""},
		"removed":                     {web, docker.Container{}, fmt.Errorf("inspect: %w", docker.ErrNotFound), with("new", "healthy"), false, "is gone"},
		"ended":                       {web, docker.Container{ExitCode: 3}, nil, with("new", "healthy"), false, "exited with status 3"},
		"being started again":         {web, docker.Container{Running: true, Restarting: true, ExitCode: 2, RestartCount: 1}, nil, with("new", "healthy"), false, "exited with status 2"},
		"started again":               {web, docker.Container{Running: true, RestartCount: 1}, nil, with("new", "healthy"), false, "start it again"},
		"ended for want of memory":    {worker, docker.Container{ExitCode: 137, OOMKilled: true}, nil, proxy.Status{}, false, "want of memory"},
		"failing":                     {web, runs, nil, with("new", "failing"), true, ""},
		"ejected":                     {web, runs, nil, with("new", "ejected"), false, "no more requests: answered 503"},
		"another one is ejected":      {web, runs, nil, with("newer", "ejected"), false, ""},
		"a worker's check fails":      {worker, docker.Container{Running: true, Health: "unhealthy"}, nil, proxy.Status{}, false, "health check fails"},
		"the proxy's check is enough": {web, docker.Container{Running: true, Health: "unhealthy"}, nil, with("new", "healthy"), false, ""},
	} {
		failing, cause := ill(tt.u, tt.c, tt.unseen, tt.st)
		if failing != tt.failing || (cause != nil) != (tt.cause != "") || cause != nil && !strings.Contains(cause.Error(), tt.cause) {
			t.Errorf("%s: %v, %v", name, failing, cause)
		}
	}
}
