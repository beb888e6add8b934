package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ship/internal/shiptest/load"
)

// replicas prepares and commits apps together.
func (g *gateway) replicas(s Service, generation int64, all ...*app) {
	g.t.Helper()
	if err := g.tryReplicas(s, generation, all...); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gateway) tryReplicas(s Service, generation int64, all ...*app) error {
	req := PrepareRequest{Service: s, Target: all[0].Target, Generation: generation, Timeout: 5 * time.Second}
	for _, a := range all[1:] {
		req.More = append(req.More, a.Target)
	}
	token, err := g.Prepare(g.t.Context(), req, nil)
	if err == nil {
		_, err = g.Commit(g.t.Context(), s.Name, token, generation)
	}
	return err
}

// newReplicas are apps of one version that tell who they are.
func newReplicas(t testing.TB, version string, n int) (all []*app) {
	t.Helper()
	for i := range n {
		a := newApp(t, version)
		a.ID = fmt.Sprintf("c-%s-%d", version, i+1)
		all = append(all, a)
	}
	return all
}

// TestReplicasShare the requests, by how much each has to do.
func TestReplicasShare(t *testing.T) {
	g := start(t)
	all := newReplicas(t, "v1", 3)
	g.replicas(Service{Name: "shop"}, 1, all...)
	for range 300 {
		g.get("/")
	}
	for i, a := range all {
		if n := a.requests.Load(); n < 90 || n > 110 {
			t.Errorf("replica %d of 3 had %d of 300 requests", i+1, n)
		}
	}
	// The first two are busy now: what comes is the third's.
	done := make(chan struct{})
	before := all[0].requests.Load() + all[1].requests.Load() + all[2].requests.Load()
	for range 2 {
		go func() { g.send("GET", "/slow", nil).Body.Close(); done <- struct{}{} }()
		eventually(t, "it is on its way", func() bool {
			now := all[0].requests.Load() + all[1].requests.Load() + all[2].requests.Load()
			defer func() { before = now }()
			return now > before
		})
	}
	st := g.active1("shop")
	idle := -1
	for i, v := range st.Targets() {
		if v.InFlight == 0 {
			idle = i
		}
		if v.Health != "healthy" || v.ID != all[i].ID {
			t.Errorf("%+v", v)
		}
	}
	if idle < 0 || len(st.Targets()) != 3 {
		t.Fatalf("%+v", st)
	}
	had := all[idle].requests.Load()
	for range 20 {
		g.get("/")
	}
	if n := all[idle].requests.Load() - had; n != 20 {
		t.Errorf("the idle one had %d of 20", n)
	}
	<-done
	<-done
}

// TestReplicaDies and comes back: no request fails that may be sent twice, and none that its target has not seen.
func TestReplicaDies(t *testing.T) {
	dir := t.TempDir()
	g := startProcess(t, dir)
	all := newReplicas(t, "v1", 3)
	svc := Service{Name: "shop", Health: HealthCheck{Interval: Duration(50 * time.Millisecond), Failures: 2}}
	g.replicas(svc, 1, all...)
	gen, err := load.Start(t.Context(), load.Options{URLs: []string{"http://" + g.addr}, Workers: 4, Pause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	meets := func(n int) {
		before := gen.Total()
		eventually(t, "the load goes on", func() bool { return gen.Total() >= before+n })
	}
	meets(100)
	address := all[1].Listener.Addr().String()
	_ = all[1].Listener.Close()
	all[1].CloseClientConnections() // what was in flight there breaks
	meets(300)
	health := func(i int) string { return g.active1("shop").Targets()[i].Health }
	eventually(t, "it is ejected", func() bool { return health(1) == "ejected" })
	if g.send("POST", "/post", strings.NewReader("whole")).StatusCode != http.StatusOK {
		t.Error("a POST has no target")
	}
	back := newAppOn(t, "v1", listenOn(t, address))
	eventually(t, "it is back", func() bool { return health(1) == "healthy" && back.requests.Load() > 10 })
	if r := gen.Stop(); r.Failed > 0 {
		t.Error(r)
	}
	for _, a := range []*app{all[0], back, all[2]} {
		a.sick.Store(true)
	}
	eventually(t, "all are ejected", func() bool { return health(0) == "ejected" && health(1) == "ejected" && health(2) == "ejected" })
	if resp, _ := g.get("/"); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("all are ill: %d", resp.StatusCode)
	}
	all[2].sick.Store(false)
	eventually(t, "one is well", func() bool { resp, b := g.get("/"); return resp.StatusCode == 200 && b == "v1" })
}

// TestReplicasSwitchTogether: all or none, forth and back, over a restart and a hand-over.
func TestReplicasSwitchTogether(t *testing.T) {
	dir := t.TempDir()
	g := startProcess(t, dir)
	svc := Service{Name: "shop"}
	one, two := newReplicas(t, "v1", 2), newReplicas(t, "v2", 3)
	g.replicas(svc, 1, one...)
	two[2].sick.Store(true)
	var ill *UnhealthyError
	req := PrepareRequest{Service: svc, Target: two[0].Target, More: []Target{two[1].Target, two[2].Target}, Generation: 2, Timeout: 300 * time.Millisecond}
	if _, err := g.Prepare(t.Context(), req, nil); !errors.As(err, &ill) || ill.Target.ID != two[2].ID {
		t.Errorf("one of three is ill: %v", err)
	}
	two[2].sick.Store(false)
	token, err := g.Prepare(t.Context(), req, nil)
	if err != nil {
		t.Fatal(err)
	}
	two[1].sick.Store(true)
	if _, err := g.Commit(t.Context(), "shop", token, 2); !errors.As(err, &ill) || ill.Target.ID != two[1].ID {
		t.Errorf("one has fallen ill: %v", err)
	}
	two[1].sick.Store(false)
	next := startProcess(t, dir) // takes the prepared ones over
	if _, err := next.Commit(t.Context(), "shop", token, 2); err != nil {
		t.Fatal(err)
	}
	serves := func(want ...*app) {
		t.Helper()
		st := next.active1("shop")
		for i, v := range st.Targets() {
			if i >= len(want) || v.ID != want[i].ID {
				t.Errorf("serves %+v", v)
			}
		}
		had := make([]int64, len(want))
		for i, a := range want {
			had[i] = a.requests.Load()
		}
		for range 4 * len(want) {
			next.get("/")
		}
		for i, a := range want {
			if a.requests.Load() == had[i] {
				t.Errorf("%s gets no request", a.ID)
			}
		}
	}
	serves(two...)
	for _, a := range two {
		if _, err := next.Drain(t.Context(), "shop", a.ID, time.Second); err == nil {
			t.Errorf("%s is drained while it serves", a.ID)
		}
	}
	if err := next.Undo(t.Context(), "shop", 2); err != nil {
		t.Fatal(err)
	}
	serves(one...)
	for _, a := range two {
		if d, err := next.Drain(t.Context(), "shop", a.ID, time.Second); err != nil || d.InFlight > 0 {
			t.Errorf("%s: %+v %v", a.ID, d, err)
		}
	}
	g.ends(10 * time.Second)
	next.kill()
	next = startProcess(t, dir)
	serves(one...)
	next.replicas(svc, 3, two[0])
	serves(two[0])
}

func TestReplicasAreTold(t *testing.T) {
	g, metrics := start(t), ""
	a := newReplicas(t, "v1", 2)
	for name, more := range map[string][]Target{
		"the same": {a[0].Target}, "the same address": {{ID: "other", Address: a[0].Address}}, "no address": {{ID: "x"}}, "too many": make([]Target, maxTargets),
	} {
		if _, err := g.Prepare(t.Context(), PrepareRequest{Service: Service{Name: "shop"}, Target: a[0].Target, More: more, Generation: 1, Timeout: time.Second}, nil); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	metrics = freeAddress(t)
	g = start(t, func(o *Options) { o.MetricsAddr = metrics })
	g.replicas(Service{Name: "shop"}, 1, a...)
	page := scrape(t, metrics)
	for _, x := range a {
		if !strings.Contains(page, fmt.Sprintf(`ship_proxy_target_healthy{service="shop",target="%s",release="v1"} 1`, x.Address)) {
			t.Errorf("metrics:\n%s", page)
		}
	}
	b, err := os.ReadFile(filepath.Join(g.dir, "shop.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Active struct {
			Target Target
			More   []Target
		}
	}
	if err := json.Unmarshal(b, &r); err != nil || r.Active.Target != a[0].Target || len(r.Active.More) != 1 || r.Active.More[0] != a[1].Target {
		t.Errorf("%s, %v", b, err)
	}
	for _, bad := range []string{`"more":[{"id":"c-v1-1","address":"127.0.0.1:9"}]`, `"more":[{"id":"y","address":"y"}]`} {
		text := `{"generation":1,"active":{"service":{"name":"shop"},"target":{"id":"c-v1-1","address":"127.0.0.1:1"},` + bad + `}}`
		if _, err := parseRecord([]byte(text)); err == nil {
			t.Errorf("%s is let pass", bad)
		}
	}
}

func listenOn(t testing.TB, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
