package orchestrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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

// seenHost is a host whose only container is as its proxy says at a time; the engine finds it well.
type seenHost struct {
	Engine
	Proxy
	start  time.Time
	health func(after time.Duration) (string, error)
}

func (h seenHost) InspectContainer(context.Context, string) (docker.Container, error) {
	return docker.Container{ID: "new", Running: true}, nil
}

func (h seenHost) Logs(context.Context, string, docker.LogOptions) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("its last line\n")), nil
}

func (h seenHost) Status(context.Context) (proxy.Status, error) {
	health, err := h.health(time.Since(h.start))
	a := &proxy.TargetStatus{Target: proxy.Target{ID: "new"}, Health: health, Last: "answered 503"}
	return proxy.Status{Services: []proxy.ServiceStatus{{Service: proxy.Service{Name: "shop.web"}, Active: a}}}, err
}

// TestWatchHost looks for three seconds, and for as long as checks fail at their end.
func TestWatchHost(t *testing.T) {
	const failing, ejected, healthy = "failing", "ejected", "healthy"
	lost := errors.New("lost")
	from := func(at time.Duration, before, then string) func(time.Duration) (string, error) {
		return func(after time.Duration) (string, error) {
			if after < at {
				return before, nil
			}
			return then, nil
		}
	}
	for name, tt := range map[string]struct {
		health func(time.Duration) (string, error)
		cancel time.Duration // after which somebody ends the run; 0 = nobody does
		took   time.Duration
		want   func(error) bool
	}{
		"well":                      {from(0, "", healthy), 0, 3 * time.Second, nil},
		"ejected":                   {from(time.Second, healthy, ejected), 0, time.Second, dead},
		"fails, and recovers":       {from(time.Second, failing, healthy), 0, 3 * time.Second, nil},
		"recovers late":             {from(5*time.Second, failing, healthy), 0, 5 * time.Second, nil},
		"fails, and is ejected":     {from(6*time.Second, failing, ejected), 0, 6 * time.Second, dead},
		"fails for ever: tolerated": {from(0, "", failing), 0, 18 * time.Second, nil},
		"not seen": {func(time.Duration) (string, error) { return "", lost }, 0, 3 * time.Second,
			func(err error) bool { return errors.Is(err, errUnwatched) && errors.Is(err, lost) }},
		"cancelled": {from(0, "", healthy), time.Second, time.Second, func(err error) bool { return errors.Is(err, errOtherHost) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancelCause(t.Context())
				defer stop(nil)
				if tt.cancel > 0 {
					defer time.AfterFunc(tt.cancel, func() { stop(errOtherHost) }).Stop()
				}
				h := seenHost{start: time.Now(), health: tt.health}
				web := watched{UnitPlan{Unit: Unit{Settings: Settings{Service: &proxy.Service{Name: "shop.web"}}}}, "new"}
				err := new(run).watchHost(ctx, Host{Name: "a", Engine: h, Proxy: h}, []watched{web}, 3*time.Second)
				took := time.Since(h.start)
				if (err == nil) != (tt.want == nil) || err != nil && !tt.want(err) || took < tt.took || took > tt.took+2*watchEvery {
					t.Errorf("%v after %s", err, took)
				}
			})
		})
	}
}

func dead(err error) bool {
	var on *HostError
	var u *UnhealthyError
	return errors.As(err, &on) && errors.As(err, &u) && u.Switched && strings.Contains(on.Detail(), "its last line") && strings.Contains(on.Hint(), "boot.watch")
}
