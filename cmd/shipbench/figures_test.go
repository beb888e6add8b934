//go:build linux

package main

import (
	"errors"
	"testing"
	"time"
)

func TestLastArrival(t *testing.T) {
	begin := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	events := `a line of a shell
{"v":1,"type":"message","host":"h2","text":"image is there, 1 layer sent","time":"2026-01-02T03:04:02Z"}
{"v":1,"type":"message","host":"h3","text":"image is there, 1 layer sent","time":"2026-01-02T03:04:05Z"}
{"v":1,"type":"message","host":"h4","text":"image is there, 1 layer sent","time":"2026-01-02T03:04:50Z"}
`
	if got, err := lastArrival(events, []string{"h2", "h3"}, begin, nil); err != nil || got != 5 {
		t.Errorf("%v, %v, want 5 s: h4 does not count", got, err)
	}
	if _, err := lastArrival(events, []string{"h2", "h5"}, begin, nil); err == nil {
		t.Error("h5 never got it")
	}
	cut := errors.New("cut")
	if _, err := lastArrival(events, []string{"h2"}, begin, cut); !errors.Is(err, cut) {
		t.Errorf("%v, want what disturbing said", err)
	}
}
