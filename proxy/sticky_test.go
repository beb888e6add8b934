package proxy

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSticky: a client stays with the replica that it met first, while that is well.
func TestSticky(t *testing.T) {
	g := start(t)
	all := newReplicas(t, "v1", 3)
	for _, a := range all {
		a.HandleFunc("/who", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Who", a.ID) })
		a.HandleFunc("POST /who", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Who", a.ID) })
	}
	svc := Service{Name: "shop", PathPrefix: "/", Sticky: true, Health: HealthCheck{Interval: Duration(20 * time.Millisecond), Failures: 1}}
	g.replicas(svc, 1, all...)
	cookie := func(resp *http.Response) string {
		t.Helper()
		for _, c := range resp.Cookies() {
			if c.Name == stickyCookie {
				if !c.HttpOnly || c.Path != "/" || c.SameSite != http.SameSiteLaxMode || c.Secure || strings.Contains(c.Value, "v1") {
					t.Errorf("%+v", c)
				}
				return c.Name + "=" + c.Value
			}
		}
		return ""
	}
	who := func(method, sent string) (string, *http.Response) {
		t.Helper()
		var headers []string
		if sent != "" {
			headers = []string{"Cookie", "a=b; " + sent}
		}
		resp := g.send(method, "/who", strings.NewReader(map[string]string{"POST": "body"}[method]), headers...)
		resp.Body.Close()
		return resp.Header.Get("X-Who"), resp
	}
	met, resp := who("GET", "")
	mine := cookie(resp)
	if mine == "" {
		t.Fatal("no cookie")
	}
	for n := range 20 {
		again, resp := who([]string{"GET", "POST"}[n%2], mine)
		if again != met || cookie(resp) != "" {
			t.Errorf("came to %s, then to %s with %q", met, again, cookie(resp))
		}
	}
	others := map[string]bool{}
	for range 9 {
		other, _ := who("GET", stickyCookie+"=nobody")
		others[other] = true
	}
	if len(others) != 3 {
		t.Errorf("clients of nobody came to %v", others)
	}
	for _, a := range all {
		if a.ID == met {
			a.sick.Store(true)
		}
	}
	eventually(t, "the client goes elsewhere, and stays there", func() bool {
		now, resp := who("GET", mine)
		return now != met && cookie(resp) != ""
	})
	for _, a := range all {
		a.sick.Store(false)
	}
	svc.Sticky = false
	g.replicas(svc, 2, all[1:]...)
	if _, resp := who("GET", ""); cookie(resp) != "" {
		t.Error("a cookie without being asked")
	}
	svc.Sticky = true
	g.replicas(svc, 3, all[1])
	eventually(t, "it serves", func() bool { _, resp := who("GET", ""); return resp.StatusCode == 200 })
	if _, resp := who("GET", ""); cookie(resp) != "" {
		t.Error("a cookie for one alone")
	}
}
