//go:build linux

package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

	"ship/internal/shiptest/load"
)

// smallRelease is what a release may cost at most when the hosts hold all but its smallest layer, in bytes and for
// all hosts together: that layer, questions and answers.
const smallRelease = 4 << 20

// step is an act of the show and what is promised of it.
type step struct {
	title   string
	version string   // $VERSION
	args    []string // of ship
	want    int      // exit code
	serves  string   // what every host must serve afterwards
	before  string   // what served before; "" before the first release, when there is no load
	small   bool     // no more than smallRelease may cross the wire
}

// row is a step as it went.
type row struct {
	step
	outcome
	uplink int64 // bytes from the controller to all hosts
	load   load.Report
	now    []string // versions, by host
	broken []string // promises
}

// judge notes which promises the step broke.
func (r row) judge() row {
	promise := func(kept bool, format string, args ...any) {
		if !kept {
			r.broken = append(r.broken, fmt.Sprintf(format, args...))
		}
	}
	promise(r.exit == r.want, "exit %d, want %d", r.exit, r.want)
	promise(!slices.ContainsFunc(r.now, func(v string) bool { return v != r.serves }), "want %s everywhere", r.serves)
	promise(r.load.Failed == 0, "%d requests failed", r.load.Failed)
	promise(r.before == "" || r.load.Total > 0, "no load")
	promise(!r.small || r.uplink < smallRelease, "want less than %s on the uplink", size(smallRelease))
	return r
}

// table shows the rows to a person.
func table(rows []row) string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "STEP\tEXIT\tSECONDS\tUPLINK\tREQUESTS\tFAILED\tHOSTS SERVE\tPROMISE")
	for _, r := range rows {
		asked, failed, verdict := "", "", "kept"
		if r.before != "" {
			asked, failed = fmt.Sprint(r.load.Total), fmt.Sprint(r.load.Failed)
		}
		if len(r.broken) > 0 {
			verdict = "BROKEN: " + strings.Join(r.broken, "; ")
		}
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%s\t%s\t%s\t%s\t%s\n", r.title, r.exit, r.took.Seconds(), size(r.uplink), asked, failed, strings.Join(r.now, " "), verdict)
	}
	_ = w.Flush() // a buffer takes everything
	return b.String()
}

// size is a number of bytes for people, in powers of 1000.
func size(n int64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

// ownGroup keeps the terminal's Ctrl-C from a child.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
