package main

import (
	"slices"
	"strings"
	"testing"

	"ship/transfer"
)

func TestForecastRow(t *testing.T) {
	id, old := "sha256:"+strings.Repeat("a", 64), "sha256:"+strings.Repeat("b", 64)
	for name, tt := range map[string]struct {
		l    transfer.LayerForecast
		want []string // from, how, bytes
	}{
		"whole":              {transfer.LayerForecast{How: transfer.HowWhole, Bytes: 2e6}, []string{"here", "whole", "2.0 MB"}},
		"of another host":    {transfer.LayerForecast{How: transfer.HowWhole, Bytes: 2e6, From: "h2"}, []string{"h2", "whole", "2.0 MB"}},
		"moved":              {transfer.LayerForecast{How: transfer.HowMoved}, []string{"h1", "moved", "0 B"}},
		"patch":              {transfer.LayerForecast{How: transfer.HowPatch, Base: old, Bytes: 2e6}, []string{"here", "patch of bbbbbbbbbbbb", "at most 2.0 MB"}},
		"of unknown size":    {transfer.LayerForecast{How: transfer.HowWhole, Bytes: -1}, []string{"here", "whole", "unknown"}},
		"a patch, not known": {transfer.LayerForecast{How: transfer.HowPatch, Base: old, Bytes: -1}, []string{"here", "patch of bbbbbbbbbbbb", "unknown"}},
	} {
		t.Run(name, func(t *testing.T) {
			tt.l.DiffID = id
			if got := forecastRow("h1", tt.l); !slices.Equal(got[2:], tt.want) {
				t.Errorf("got %q, want %q", got[2:], tt.want)
			}
		})
	}
	if got := forecastSums(transfer.Forecast{Uplink: 2e6, Unknown: 3}); got != "uplink about 2.0 MB, layers of unknown size: 3" {
		t.Error(got)
	}
}
