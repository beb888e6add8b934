package config

import (
	"errors"
	"reflect"
	"slices"
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
		"transfer: { bwlimit: 80Mbit/s }":          {Relay: true, Helper: true, Delta: "auto", BWLimit: 10_000_000},
		"transfer: { bwlimit: 10 KB }":             {Relay: true, Helper: true, Delta: "auto", BWLimit: 10_000},
		"transfer: { bwlimit: 8kbit }":             {Relay: true, Helper: true, Delta: "auto", BWLimit: 1000},
		"transfer: { groups: { eu: [] } }":         DefaultTransfer(),
		"transfer: { groups: { eu: [web-1] } }":    {Relay: true, Helper: true, Delta: "auto", Groups: map[string]string{"web-1": "eu"}},
	} {
		app := mustLoad(t, head+in+"\n")
		if !reflect.DeepEqual(app.Transfer, want) {
			t.Errorf("%s: got %+v, want %+v", in, app.Transfer, want)
		}
		reload(t, app)
	}
}

func TestTransferRefused(t *testing.T) {
	for in, want := range map[string]string{
		"relay: on":                            "expected auto or off",
		"delta: always":                        "expected auto, on or off",
		"relai: off":                           `did you mean "relay"?`,
		"bwlimit: 80":                          "say bits or bytes, as in 80mbit or 10MB",
		"bwlimit: 80mb":                        "not a unit of bandwidth",
		"bwlimit: 7kbit":                       "too little",
		"bwlimit: 1_0MB":                       "not a bandwidth",
		"bwlimit: -1mbit":                      "not a bandwidth",
		"bwlimit: 1e300GB":                     "not a bandwidth",
		"bwlimit: 99999999999GB":               "too much",
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
		var errs Errors
		_, err := load(t, head+"transfer:\n  "+in+"\n")
		if !errors.As(err, &errs) || !strings.Contains(errs.Detail(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

// TestTransferGroupTwice: the second place is the one that is told, and no variable's value.
func TestTransferGroupTwice(t *testing.T) {
	_, err := load(t, "service: shop\nimage: shop\nservers: [web-1, \"${TOKEN}\"]\ntransfer:\n  groups:\n    eu: [\"${TOKEN}\"]\n    us: [web-1, \"${TOKEN}\"]\n")
	var errs Errors
	if !errors.As(err, &errs) || len(errs) != 1 {
		t.Fatalf("got %v, want one mistake", err)
	}
	if e := errs[0]; e.Path != "transfer.groups.us[1]" || e.Line != 7 || e.Column != 17 {
		t.Errorf("got %s at %d:%d, want transfer.groups.us[1] at 7:17", e.Path, e.Line, e.Column)
	}
	if strings.Contains(errs.Detail(), "hunter2") {
		t.Errorf("shows the value of a variable:\n%s", errs.Detail())
	}
}

// TestTransferDestination: the destination's keys go over those of ship.yaml, group by group, and have their origins.
func TestTransferDestination(t *testing.T) {
	files := map[string]string{
		"ship.yaml":    "service: shop\nimage: shop\nservers: [web-1, web-2]\ntransfer: { relay: off, bwlimit: 80mbit, groups: { eu: [web-1] } }\n",
		"ship.eu.yaml": "transfer:\n  bwlimit: 1MB\n  groups: { us: [web-2] }\n",
	}
	app, err := Load("ship.yaml", LoadOptions{Destination: "eu", ReadFile: func(path string) ([]byte, error) { return []byte(files[path]), nil }})
	if err != nil {
		t.Fatal(err)
	}
	want := Transfer{Helper: true, Delta: "auto", BWLimit: 1_000_000, Groups: map[string]string{"web-1": "eu", "web-2": "us"}}
	if !reflect.DeepEqual(app.Transfer, want) {
		t.Errorf("got %+v, want %+v", app.Transfer, want)
	}
	files["ship.eu.yaml"] = "servers: [stage-1]\ntransfer: { groups: ~ }\n"
	none, err := Load("ship.yaml", LoadOptions{Destination: "eu", ReadFile: func(path string) ([]byte, error) { return []byte(files[path]), nil }})
	if err != nil || none.Transfer.Groups != nil {
		t.Errorf("groups taken back: %+v, %v", none, err)
	}
	if o := (Origin{Path: "transfer.bwlimit", File: "ship.eu.yaml", Line: 2, Column: 12}); !slices.Contains(app.Origins, o) {
		t.Errorf("no %+v in %+v", o, app.Origins)
	}
}
