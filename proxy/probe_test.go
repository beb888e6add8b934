package proxy

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestExpectedStatuses(t *testing.T) {
	for _, c := range []struct {
		statuses []string
		yes, no  []int
	}{
		{nil, []int{200, 204, 299}, []int{0, 101, 301, 404, 503}},
		{[]string{"200"}, []int{200}, []int{201, 204, 302}},
		{[]string{"200-204", "401"}, []int{200, 204, 401}, []int{199, 205, 400, 402}},
	} {
		h := HealthCheck{Statuses: c.statuses}
		for _, s := range c.yes {
			if !h.expects(s) {
				t.Errorf("%v: not %d", c.statuses, s)
			}
		}
		for _, s := range c.no {
			if h.expects(s) {
				t.Errorf("%v: %d", c.statuses, s)
			}
		}
	}
}

func TestChecksThatMeanNothing(t *testing.T) {
	for want, h := range map[string]HealthCheck{
		"none of http, tcp":  {Type: "ftp"},
		"gRPC has no status": {Type: CheckGRPC, Statuses: []string{"200"}},
		"gRPC has a service": {Service: "shop"},
		"has no status":      {Type: CheckTCP, Statuses: []string{"200"}},
		`status "2xx"`:       {Statuses: []string{"2xx"}},
		`status "299-200"`:   {Statuses: []string{"299-200"}},
		`status "200-"`:      {Statuses: []string{"200-"}},
		`status "99"`:        {Statuses: []string{"99"}},
		"at most 32":         {Statuses: strings.Split(strings.Repeat("200 ", 40), " ")},
	} {
		if _, err := (Service{Name: "a", Health: h}).withDefaults(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", h, err)
		}
	}
}

// TestStatusOfHealthy: a login page is what this app shows to everybody.
func TestStatusOfHealthy(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	a.HandleFunc("/private", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	g.deploy(Service{Name: "a", Health: HealthCheck{Path: "/private", Statuses: []string{"401"}}}, a.Target, 1)
	_, err := g.Prepare(t.Context(), PrepareRequest{Service: Service{Name: "a", Health: HealthCheck{Statuses: []string{"401"}}}, Target: a.Target, Generation: 2, Timeout: 100 * time.Millisecond}, nil)
	var u *UnhealthyError
	if !errors.As(err, &u) || !strings.Contains(err.Error(), "GET /up on ") || !strings.Contains(err.Error(), "answered 200") || !strings.Contains(u.Hint(), "healthcheck.status") {
		t.Errorf("%v\nhint: %s", err, u.Hint())
	}
}

// TestTCPCheck: the app takes connections, and its page for checks is of no interest.
func TestTCPCheck(t *testing.T) {
	g, a := start(t, func(o *Options) { o.Hold = time.Millisecond }), newApp(t, "v1")
	a.sick.Store(true)
	s := Service{Name: "a", Health: HealthCheck{Type: CheckTCP, Interval: oftenChecked, Failures: 2}}
	g.deploy(s, a.Target, 1)
	if _, b := g.get("/"); b != "v1" || g.active().Last != "takes connections" {
		t.Errorf("serves %q: %+v", b, g.active())
	}
	a.CloseClientConnections()
	a.Close()
	eventually(t, "ejected", func() bool { return g.active().Health == "ejected" })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := l.Addr().String()
	l.Close()
	_, err = g.Prepare(t.Context(), PrepareRequest{Service: s, Target: Target{ID: "x", Address: gone}, Generation: 2, Timeout: 100 * time.Millisecond}, nil)
	if want := "a connection to " + gone + ": "; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v", err)
	}
}
