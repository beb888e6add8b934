//go:build linux

package main

import (
	"os"
	"slices"
	"testing"
	"time"

	"ship/internal/shiptest/leak"
	"ship/internal/shiptest/load"
)

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }

func TestJudge(t *testing.T) {
	good := row{
		step:    step{title: "deploy v2", serves: "v2", before: "v1", small: true},
		outcome: outcome{took: 2 * time.Second}, uplink: 12_300, load: load.Report{Total: 500}, now: []string{"v2", "v2"},
	}
	for _, c := range []struct {
		name   string
		change func(*row)
		want   []string
	}{
		{"all well", func(*row) {}, nil},
		{"exit", func(r *row) { r.exit = 3 }, []string{"exit 3, want 0"}},
		{"refused as it should be", func(r *row) { r.want, r.exit = 1, 1 }, nil},
		{"mixed", func(r *row) { r.now[1] = "v1" }, []string{"want v2 everywhere"}},
		{"lost", func(r *row) { r.load.Failed = 2 }, []string{"2 requests failed"}},
		{"untested", func(r *row) { r.load.Total = 0 }, []string{"no load"}},
		{"no load wanted", func(r *row) { r.load.Total, r.before = 0, "" }, nil},
		{"fat", func(r *row) { r.uplink = 80e6 }, []string{"want less than 4.2 MB on the uplink"}},
		{"fat first", func(r *row) { r.uplink, r.small = 80e6, false }, nil},
	} {
		r := good
		r.now = slices.Clone(good.now)
		c.change(&r)
		if got := r.judge().broken; !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q", c.name, got)
		}
	}
}

func TestTable(t *testing.T) {
	rows := []row{
		{step: step{title: "deploy v1"}, outcome: outcome{took: 12300 * time.Millisecond}, uplink: 240e6, now: []string{"v1", "v1"}},
		{step: step{title: "deploy v2", before: "v1"}, outcome: outcome{exit: 1}, uplink: 900, load: load.Report{Total: 7, Failed: 1}, now: []string{"v1"}, broken: []string{"a", "b"}},
	}
	want := `STEP        EXIT   SECONDS   UPLINK     REQUESTS   FAILED   HOSTS SERVE   PROMISE
deploy v1   0      12.3      240.0 MB                       v1 v1         kept
deploy v2   1      0.0       900 B      7          1        v1            BROKEN: a; b
`
	if got := table(rows); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
