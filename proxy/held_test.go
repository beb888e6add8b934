package proxy

import (
	"sync"
	"testing"
	"time"
)

// TestHeldRequestsMove has a target that is gone for good: who waits for it is served by the next one, at once.
func TestHeldRequestsMove(t *testing.T) {
	g, one, two := start(t), newApp(t, "one"), newApp(t, "two")
	g.deploy(Service{Name: "a"}, one.Target, 1)
	token, err := g.Prepare(t.Context(), PrepareRequest{Service: Service{Name: "a"}, Target: two.Target, Generation: 2, Timeout: 5 * time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	one.CloseClientConnections()
	one.Close()
	var held sync.WaitGroup
	for range 10 {
		held.Go(func() {
			if resp, b := g.get("/"); resp.StatusCode != 200 || b != "two" {
				t.Errorf("%d %.80s", resp.StatusCode, b)
			}
		})
	}
	waiting := func() bool {
		st, err := g.Status(t.Context())
		return err == nil && st.Services[0].Active.InFlight == 10
	}
	eventually(t, "all wait", waiting)
	if _, err := g.Commit(t.Context(), "a", token, 2); err != nil {
		t.Fatal(err)
	}
	held.Wait()
	eventually(t, "nothing stays counted", func() bool {
		st, err := g.Status(t.Context())
		return err == nil && st.Services[0].Active.InFlight == 0 && len(st.Services[0].Draining) == 0
	})
}

func TestHeldRequestsAreBounded(t *testing.T) {
	u := newUpstream(t.Context(), Target{}, Service{}, time.Minute)
	u.held.Store(maxHeld - 1)
	if !u.wait(t.Context(), time.Nanosecond) {
		t.Error("the last place is not given")
	}
	u.held.Store(maxHeld)
	if u.wait(t.Context(), time.Hour) {
		t.Error("one too many is held")
	}
	if n := u.held.Load(); n != maxHeld {
		t.Errorf("%d are counted as held", n)
	}
}
