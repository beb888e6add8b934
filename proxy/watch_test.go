package proxy

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

const oftenChecked = Duration(20 * time.Millisecond)

// active is the active target of the only service.
func (g *gateway) active() TargetStatus {
	g.t.Helper()
	st, err := g.Status(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	return *st.Services[0].Active
}

func TestConditionAfterChecks(t *testing.T) {
	h := HealthCheck{Interval: Duration(time.Second), Failures: 3}
	start := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		answers string          // per check: y = healthy, n = says no, s = silent, l = silent, and that counts for nothing
		every   time.Duration   // from one to the next
		ejected map[int]bool    // from which check on; by index, all others as the one before
		since   map[int]float64 // seconds after the start
	}{
		"three in a row":                 {"ynnnny", time.Second, map[int]bool{3: true, 5: false}, map[int]float64{2: 1, 4: 1, 5: 5}},
		"one good answer begins anew":    {"nnynnyn", time.Second, nil, map[int]float64{1: 0, 6: 6}},
		"checks that come faster":        {"nnnnnnnnn", 250 * time.Millisecond, map[int]bool{7: true}, nil},
		"silent, within the hold":        {"ssssss", time.Second, map[int]bool{5: true}, nil},
		"silent, and we are late":        {"lllllllll", time.Second, nil, map[int]float64{8: 0}},
		"late ones do not interrupt":     {"nlnln", time.Second, map[int]bool{4: true}, nil},
		"ejected stays so, also if late": {"nnnlly", time.Second, map[int]bool{2: true, 5: false}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var at *condition
			want := false
			for i, r := range c.answers {
				a := Attempt{Time: start.Add(time.Duration(i) * c.every), Healthy: r == 'y', Status: map[rune]int{'y': 200, 'n': 500}[r]}
				at = at.after(a, r != 'l', h, 5*time.Second)
				if w, ok := c.ejected[i]; ok {
					want = w
				}
				if at.ejected != want {
					t.Errorf("check %d: ejected = %v", i, at.ejected)
				}
				if s, ok := c.since[i]; ok && at.since.Sub(start).Seconds() != s {
					t.Errorf("check %d: since %v", i, at.since.Sub(start))
				}
			}
		})
	}
}

func TestChecksThatProveNothing(t *testing.T) {
	h := HealthCheck{Timeout: Duration(time.Second)}
	for name, c := range map[string]struct {
		a       Attempt
		took    time.Duration
		answers bool
		want    bool
	}{
		"silent":                       {Attempt{}, time.Second, false, true},
		"silent, but requests are not": {Attempt{}, time.Second, true, false},
		"we were frozen":               {Attempt{}, time.Minute, false, false},
		"refused":                      {Attempt{refused: true}, time.Minute, true, true},
		"it says no":                   {Attempt{Status: 503}, time.Minute, true, true},
		"it says yes":                  {Attempt{Status: 200, Healthy: true}, time.Minute, true, true},
	} {
		if got := proves(c.a, c.took, c.answers, h); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestEjected: the app says that it is not well. Nobody is sent to it until it is, and all are told so.
func TestEjected(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	g.deploy(Service{Name: "a", Health: HealthCheck{Interval: oftenChecked, Failures: 2}}, a.Target, 1)
	well := g.active()
	a.sick.Store(true)
	eventually(t, "ejected", func() bool { return g.active().Health == "ejected" })
	if s := g.active(); s.Failures < 2 || !s.Since.After(well.Since) || !strings.HasPrefix(s.Last, "answered 503: database is") {
		t.Errorf("%+v, before: %+v", s, well)
	}
	n := a.requests.Load()
	resp, body := g.get("/")
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, "<p>The service is not well") || a.requests.Load() != n {
		t.Errorf("%d, %v: %s", resp.StatusCode, resp.Header, body)
	}
	if resp, body = g.get("/", "Accept", "application/json"); !strings.HasPrefix(body, `{"error":"The service is not well`) {
		t.Errorf("%v: %s", resp.Header, body)
	}
	eventually(t, "the log says why", func() bool { return strings.Contains(g.log.String(), "the target is ejected: answered 503") })
	a.sick.Store(false)
	eventually(t, "it serves again", func() bool { resp, b := g.get("/"); return resp.StatusCode == 200 && b == "v1" })
}

// TestEjectionCutsNothing: what is in flight stays, and a switch goes to a healthy target at once.
func TestEjectionCutsNothing(t *testing.T) {
	g, a, b := start(t), newApp(t, "v1"), newApp(t, "v2")
	s := Service{Name: "a", Health: HealthCheck{Interval: oftenChecked, Failures: 1}}
	g.deploy(s, a.Target, 1)
	c, r := g.webSocket()
	slow := make(chan int, 1)
	go func() {
		resp, err := g.roundTrip("GET", "/slow", nil)
		if err != nil {
			slow <- 0
			return
		}
		slow <- resp.StatusCode
	}()
	eventually(t, "it arrives", func() bool { return a.requests.Load() == 2 })
	a.sick.Store(true)
	eventually(t, "ejected", func() bool { return g.active().Health == "ejected" })
	g.deploy(s, b.Target, 2)
	if _, body := g.get("/"); body != "v2" {
		t.Errorf("serves %s", body)
	}
	if got := <-slow; got != 200 {
		t.Errorf("the request in flight: %d", got)
	}
	_, _ = c.Write(frame(1, []byte("still")))
	if _, p, err := readFrame(r); err != nil || string(p) != "still" {
		t.Errorf("the WebSocket: %q, %v", p, err)
	}
}

// TestBusyTargetStays: it answers requests, and only the checks not in time.
func TestBusyTargetStays(t *testing.T) {
	g, a := start(t, func(o *Options) { o.Hold = time.Millisecond }), newApp(t, "v1")
	var late = make(chan struct{})
	a.HandleFunc("/late", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-late:
			<-r.Context().Done()
		default:
		}
	})
	g.deploy(Service{Name: "a", Health: HealthCheck{Path: "/late", Interval: oftenChecked, Timeout: Duration(150 * time.Millisecond), Failures: 1}}, a.Target, 1)
	close(late)
	for end := time.Now().Add(700 * time.Millisecond); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if resp, _ := g.get("/"); resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
	}
	if s := g.active(); s.Health != "failing" || s.Failures != 0 {
		t.Errorf("%+v", s)
	}
	eventually(t, "without requests it is ejected", func() bool { return g.active().Health == "ejected" })
}

// TestRefusalIsAHint: the next check is far away, and comes at once.
func TestRefusalIsAHint(t *testing.T) {
	g, a := start(t, func(o *Options) { o.Hold = 100 * time.Millisecond }), newApp(t, "v1")
	g.deploy(Service{Name: "a", Health: HealthCheck{Interval: Duration(time.Hour), Failures: 1}}, a.Target, 1)
	a.CloseClientConnections()
	a.Close()
	eventually(t, "it is seen", func() bool {
		g.get("/")
		return g.active().Health == "ejected"
	})
	if s := g.active(); !strings.Contains(s.Last, "connection refused") {
		t.Errorf("%+v", s)
	}
}

// TestHandoverEjectsNobody: a successor asks for itself, and one failure is not enough for it.
func TestHandoverEjectsNobody(t *testing.T) {
	one, a := start(t), newApp(t, "v1")
	one.deploy(Service{Name: "a", Health: HealthCheck{Interval: Duration(time.Hour)}}, a.Target, 1)
	a.sick.Store(true)
	two := start(t, func(o *Options) { o.StateDir, o.Socket = one.dir, one.socket })
	two.socket = one.socket
	two.Client = two.client()
	eventually(t, "it was asked", func() bool { return two.active().Health == "failing" })
	if _, b := two.get("/"); b != "v1" {
		t.Errorf("serves %s", b)
	}
}
