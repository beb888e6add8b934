package main_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"ship/internal/shiptest/images"
	"ship/transfer"
)

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

// TestForecastIsWhatHappens: of layers whose size on the wire is known, the forecast's total is what then leaves here.
func TestForecastIsWhatHappens(t *testing.T) {
	helpersPlaced(t)
	img, err := images.App(t.Context(), world.dir, images.Spec{Ref: "foretold:v1", Version: "v1", Layers: []images.Layer{{Name: "foretold", Size: 8 << 20, Files: 8, Dense: true}}})
	if err != nil {
		t.Fatal(err)
	}
	drop(t, "foretold:v1")
	layout := filepath.Join(t.TempDir(), "layout")
	if err := img.OCILayout(layout); err != nil {
		t.Fatal(err)
	}
	var last struct {
		Result struct{ Result transfer.Forecast }
	}
	lines := strings.Split(strings.TrimSpace(mustShip(t, 0, append([]string{"push", "--dry-run", "--json", "oci:" + layout}, trio...)...).stdout), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	n := sent(t, func() { push(t, append([]string{"oci:" + layout}, trio...)...) })
	told := last.Result.Result.Uplink
	if told < 8<<20 || n < told*97/100 || n > told*105/100+3*control {
		t.Errorf("foretold %d bytes, sent %d", told, n)
	}
}
