package main_test

import (
	"context"
	"testing"
)

// healed undoes every cut at the test's end.
func healed(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { _ = world.lab.HealAll(context.WithoutCancel(t.Context())) }) // the next test would show it
}

// TestPeersCut: hosts that cannot reach each other are fed from here.
func TestPeersCut(t *testing.T) {
	helpersPlaced(t)
	healed(t)
	if err := world.lab.Host("h1").Cut(t.Context(), "h2", "h3"); err != nil {
		t.Fatal(err)
	}
	src := bulk(t, "apart:v1", 8<<20)
	p := push(t, append([]string{src}, trio...)...)
	runs(t, "apart:v1", trio...)
	t.Logf("%+v", p.Hosts)
	nothingLeft(t, trio...)
}
