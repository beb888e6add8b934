package main_test

import (
	"context"
	"strings"
	"testing"

	"ship/internal/shiptest/lab"
)

// TestSlowSource: the only host that has a layer has a line much slower than the controller's, which sends the layer too.
func TestSlowSource(t *testing.T) {
	helpersPlaced(t)
	const size = 12 << 20 // with the app that is in the image, 16 MB
	src := bulk(t, "slowsource:v1", size)
	mustShip(t, 0, "push", src, "h1")
	limit(t, 40*lab.Mbit)
	slow := world.lab.Host("h1")
	if err := slow.Limit(t.Context(), 2*lab.Mbit, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := slow.Limit(context.WithoutCancel(t.Context()), 0, 0); err != nil {
			t.Error(err)
		}
	})
	var o outcome
	n := sent(t, func() { // nobody has measured the line before
		o = finish(t, withCache(t, command(t, append([]string{"push", src, "--json"}, trio...)...)))
	})
	wants(t, o.stdout, "from here too: h1, which has it, is slow")
	if n > 17<<20 {
		t.Errorf("%d bytes sent", n)
	}
	alone := float64(size) * 8 / float64(2*lab.Mbit)
	t.Logf("%d bytes sent in %s; the source alone needs %.0f s", n, o.took, alone)
	runs(t, "slowsource:v1", trio...)
	nothingLeft(t, trio...)
	if o.code != 0 || strings.Contains(o.stdout, `"type":"warning"`) {
		t.Error(o)
	}
}
