package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestTransfer(t *testing.T) {
	for in, want := range map[string]Transfer{
		"":                          DefaultTransfer(),
		"transfer: {}":              DefaultTransfer(),
		"transfer: { relay: off }":  {Helper: true, Delta: "auto"},
		"transfer: { helper: off }": {Relay: true, Delta: "auto"},
		"transfer: { delta: on, bwlimit: 80mbit }": {Relay: true, Helper: true, Delta: "on", BWLimit: 10_000_000},
		"transfer: { bwlimit: 2.5MB }":             {Relay: true, Helper: true, Delta: "auto", BWLimit: 2_500_000},
		"transfer: { groups: { eu: [web-1] } }":    {Relay: true, Helper: true, Delta: "auto", Groups: map[string]string{"web-1": "eu"}},
	} {
		app := mustLoad(t, head+in+"\n")
		if !reflect.DeepEqual(app.Transfer, want) {
			t.Errorf("%s: got %+v, want %+v", in, app.Transfer, want)
		}
	}
}

func TestTransferRefused(t *testing.T) {
	for in, want := range map[string]string{
		"relay: on":                            "expected auto or off",
		"delta: always":                        "expected auto, on or off",
		"bwlimit: 80":                          "as in 80mbit or 10MB",
		"bwlimit: -1mbit":                      "not a bandwidth",
		"bwlimit: 1e300GB":                     "not a bandwidth",
		"groups: { eu: [nowhere] }":            "no host of servers",
		"groups: { eu: [web-1], us: [web-1] }": "in the group eu already",
		"groups: { eu: web-1 }":                "expected a list",
		"group: { eu: [web-1] }":               "groups",
		"groups: { \"no name\": [web-1] }":     "not a usable name",
		"speed: 1":                             "speed",
		"relay: auto\n  relay: off":            "set twice",
		"groups: [web-1]":                      "expected a map",
		"bwlimit: [1]":                         "expected",
	} {
		_, err := load(t, head+"transfer:\n  "+in+"\n")
		if !errors.As(err, new(Errors)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}
