package acme

import (
	"fmt"
	"testing"
	"time"
)

func TestRenewalIsSpread(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	end := begin.Add(90 * 24 * time.Hour)
	weeks := map[int]int{}
	for n := range 100 {
		at := Renewal(begin, end, fmt.Sprintf("host-%d", n))
		if at.Before(begin.Add(60*24*time.Hour)) || at.After(begin.Add(1980*time.Hour)) {
			t.Fatalf("host-%d renews at %s", n, at)
		}
		weeks[int(at.Sub(begin).Hours()/24/5)]++
	}
	for week, n := range weeks {
		if n > 50 {
			t.Errorf("%d of 100 hosts renew in the same five days (%d)", n, week)
		}
	}
}

func TestPauseGrows(t *testing.T) {
	for _, c := range []struct {
		failures    int
		asked, want time.Duration
	}{
		{1, 0, time.Minute}, {2, 0, 2 * time.Minute}, {5, 0, 16 * time.Minute}, {9, 0, 256 * time.Minute}, {10, 0, 6 * time.Hour}, {1000, 0, 6 * time.Hour},
		{1, time.Hour, time.Hour}, {1, 100 * time.Hour, 24 * time.Hour}, {5, time.Second, 16 * time.Minute},
	} {
		if got := Pause(c.failures, c.asked); got != c.want {
			t.Errorf("%d failures, %s asked: %s, want %s", c.failures, c.asked, got, c.want)
		}
	}
}

func TestTokens(t *testing.T) {
	for s, want := range map[string]bool{"abc-_09AZ": true, "": false, "a.b": false, "a/b": false, "a b": false, "\u00e4": false, "a\n": false} {
		if MayBeToken(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}
