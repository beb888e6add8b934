package main_test

import "testing"

// TestDryRun tells who would send what, and changes nothing.
func TestDryRun(t *testing.T) {
	src := bulk(t, "dry:v1", 8<<20)
	var o outcome
	n := sent(t, func() { o = mustShip(t, 0, append([]string{"push", "--dry-run", src}, trio...)...) })
	if n > 3*64<<10 {
		t.Errorf("%d bytes sent", n)
	}
	wants(t, o.stdout, "whole", "here", "uplink about", "between hosts", "disk:")
	for _, h := range trio {
		if out, err := world.lab.Host(h).Exec(t.Context(), "docker images -q dry:v1; docker images -q ship.invalid/part"); err != nil || out != "" {
			t.Errorf("%s: %q %v", h, out, err)
		}
	}
}
