package proxy

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestUnhealthy(t *testing.T) {
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	a := newApp(t, "v1")
	a.sick.Store(true)
	var followed atomic.Bool
	a.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/there", http.StatusFound) })
	a.HandleFunc("/there", func(http.ResponseWriter, *http.Request) { followed.Store(true) })
	for _, c := range []struct {
		name, address, path, want, hint string
	}{
		{"redirect", a.Address, "/moved", "answered 302, Location: /there", "exempt /moved from redirects"},
		{"refused", refused.Addr().String(), "/up", "connection refused", "nothing listens there"},
		{"silent", silent.Addr().String(), "/up", "no answer within", "longer than proxy.healthcheck.timeout"},
		{"sick", a.Address, "/up", "answered 503: database is [31mdown", "see its log"},
		{"missing", a.Address, "/nope", "answered 404", "a page that the app has"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t)
			begin, told := time.Now(), 0
			_, err := g.Prepare(t.Context(), PrepareRequest{
				Service: Service{Name: "a", Health: HealthCheck{Path: c.path}}, Target: Target{ID: "x", Address: c.address}, Timeout: 700 * time.Millisecond, Generation: 1,
			}, func(Attempt) { told++ })
			var u *UnhealthyError
			if !errors.As(err, &u) || !strings.Contains(err.Error(), c.want) || !strings.Contains(u.Hint(), c.hint) || strings.ContainsRune(err.Error(), '\x1b') {
				t.Errorf("%v\nhint: %s", err, u.Hint())
			}
			if took := time.Since(begin); told == 0 || took > 2*time.Second || len(u.Attempts) > maxAttempts {
				t.Errorf("told %d times, %d attempts kept, %v", told, len(u.Attempts), took)
			}
		})
	}
	if followed.Load() {
		t.Error("the redirect was followed")
	}
}

func TestOneCheckTimesOut(t *testing.T) {
	var n atomic.Int64
	a := newApp(t, "v1")
	a.HandleFunc("/late", func(_ http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 1 {
			<-r.Context().Done()
		}
	})
	g := start(t)
	var first Attempt
	_, err := g.Prepare(t.Context(), PrepareRequest{
		Service: Service{Name: "a", Health: HealthCheck{Path: "/late", Timeout: Duration(100 * time.Millisecond)}}, Target: a.Target, Timeout: 5 * time.Second,
	}, func(a Attempt) {
		if first.Time.IsZero() {
			first = a
		}
	})
	if err != nil || first.Healthy || !strings.HasPrefix(first.Error, "no answer within 1") {
		t.Errorf("%v; first attempt: %+v", err, first)
	}
}

func TestHealthyInARow(t *testing.T) {
	var n atomic.Int64
	a := newApp(t, "v1")
	a.HandleFunc("/flaps", func(w http.ResponseWriter, r *http.Request) {
		if k := n.Add(1); k == 1 || k == 4 { // yes is said twice, then no
			w.WriteHeader(http.StatusInternalServerError)
		}
		if r.Host != "shop.example" {
			w.WriteHeader(http.StatusMisdirectedRequest)
		}
	})
	g := start(t)
	var told []bool
	_, err := g.Prepare(t.Context(), PrepareRequest{
		Service: Service{Name: "a", Hosts: []string{"shop.example"}, Health: HealthCheck{Path: "/flaps", Successes: 3}}, Target: a.Target, Timeout: 5 * time.Second,
	}, func(a Attempt) { told = append(told, a.Healthy) })
	if err != nil || len(told) != 7 || n.Load() != 7 {
		t.Errorf("%v after %v", err, told)
	}
}

// TestCutoverIsSoon after the target begins to listen, at any time. A busy machine has several tries.
func TestCutoverIsSoon(t *testing.T) {
	for _, after := range []time.Duration{50 * time.Millisecond, 300 * time.Millisecond, time.Second} {
		limit, took := after/8+50*time.Millisecond, time.Hour
		for try := 0; took > limit && try < 5; try++ {
			took = cutover(t, after)
		}
		if took > limit {
			t.Errorf("ready after %v, switched %v later", after, took)
		}
	}
}

// cutover is how long after its target began to listen, which is after some time, a deploy ends.
func cutover(t *testing.T, after time.Duration) time.Duration {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	g := start(t)
	ready := make(chan time.Time, 1)
	time.AfterFunc(after, func() {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Error(err)
			return
		}
		newAppOn(t, "v1", l)
		ready <- time.Now()
	})
	g.deploy(Service{Name: "a"}, Target{ID: "x", Address: address}, 1)
	return time.Since(<-ready)
}

func TestHealthIgnoresProxySettings(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	g := start(t)
	g.deploy(Service{Name: "a"}, newApp(t, "v1").Target, 1)
	if _, b := g.get("/"); b != "v1" {
		t.Errorf("serves %q", b)
	}
}

func TestHealthIsWatched(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	g.deploy(Service{Name: "a", Health: HealthCheck{Interval: Duration(20 * time.Millisecond)}}, a.Target, 1)
	health := func() string {
		st, err := g.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return st.Services[0].Active.Health
	}
	if h := health(); h != "healthy" {
		t.Errorf("after the commit: %s", h)
	}
	a.sick.Store(true)
	eventually(t, "ejected", func() bool { return health() == "ejected" })
	a.sick.Store(false)
	eventually(t, "healthy again", func() bool { return health() == "healthy" })
}

func TestCommitChecksAgain(t *testing.T) {
	g, a, old := start(t), newApp(t, "v2"), newApp(t, "v1")
	g.deploy(Service{Name: "a"}, old.Target, 1)
	token, err := g.Prepare(t.Context(), PrepareRequest{Service: Service{Name: "a"}, Target: a.Target, Generation: 2, Timeout: time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a.sick.Store(true)
	var u *UnhealthyError
	if _, err := g.Commit(t.Context(), "a", token, 2); !errors.As(err, &u) || !strings.Contains(err.Error(), "no longer healthy") {
		t.Errorf("commit: %v", err)
	}
	if _, b := g.get("/"); b != "v1" {
		t.Errorf("serves %q", b)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                   "plain",
		" a\r\n\tb  ":             "a b",
		"\x1b[31mred\x07":         "[31mred",
		"\u202eevil\u2066":        "evil",
		"\xff\xfe":                "",
		strings.Repeat("ä", 5000): strings.Repeat("ä", 10),
	} {
		if got := printable(in, 10); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
