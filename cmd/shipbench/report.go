//go:build linux

package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"ship/internal/shiptest/lab"
	"ship/internal/shiptest/machine"
)

// condition is a row of the report.
type condition struct {
	rate  lab.Rate
	hosts int
	push  string
}

// measurement is one push: bytes that the controller sent, the wall's and the controller's CPUs' seconds.
type measurement struct {
	bytes        int64
	seconds, cpu float64
}

func (m measurement) String() string {
	return fmt.Sprintf("%.2f MB, %.1f s, %.1f CPU s", float64(m.bytes)/1e6, m.seconds, m.cpu)
}

// report is what was measured so far.
type report struct {
	rows    []condition
	cells   map[condition]map[int]measurement // by number of the contender
	figures []figure
	pushes  []string // to the local registry, which the pulls need first
}

func (r *report) add(c condition, contender int, m measurement) {
	if r.cells == nil {
		r.cells = map[condition]map[int]measurement{}
	}
	if r.cells[c] == nil {
		r.cells[c] = map[int]measurement{}
		r.rows = append(r.rows, c)
	}
	r.cells[c][contender] = m
}

// own is how many of the contenders are ship.
const own = 2

// print writes the report as a table in Markdown.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s; controller and hosts on this one machine.\n\n", machine.String())
	if len(r.figures) > 0 {
		fmt.Fprint(w, "| figure | measured | goal |\n|---|---|---|\n")
		for _, f := range r.figures {
			fmt.Fprintf(w, "| %s | %s | %s |\n", f.name, f.measured, f.goal)
		}
		fmt.Fprintln(w)
	}
	if len(r.rows) == 0 {
		return
	}
	fmt.Fprintf(w, "Each cell: MB on the wire / seconds / CPU seconds of the controller.\n\n")
	names := []string{"uplink", "hosts", "push"}
	for _, c := range contenders() {
		names = append(names, c.name)
	}
	names = append(names, "best other way ÷ best ship: bytes, seconds")
	fmt.Fprintf(w, "| %s |\n|%s\n", strings.Join(names, " | "), strings.Repeat("---|", len(names)))
	rows := slices.Clone(r.rows)
	slices.SortStableFunc(rows, func(a, b condition) int { return cmp.Or(cmp.Compare(a.rate, b.rate), cmp.Compare(a.hosts, b.hosts)) })
	for _, c := range rows {
		fmt.Fprintf(w, "| %s | %d | %s |", rateName(c.rate), c.hosts, c.push)
		for i := range contenders() {
			m, ok := r.cells[c][i]
			if !ok {
				fmt.Fprint(w, " failed |")
				continue
			}
			fmt.Fprintf(w, " %.2f / %.1f / %.1f |", float64(m.bytes)/1e6, m.seconds, m.cpu)
		}
		fmt.Fprintf(w, " %s |\n", r.ratio(c))
	}
	if len(r.pushes) > 0 {
		fmt.Fprintf(w, "\nNot in the pulls: docker push to the registry on the controller, %s.\n", strings.Join(r.pushes, ", "))
	}
}

// ratio compares the best of the others with the best of ship.
func (r *report) ratio(c condition) string {
	var words []string
	for _, of := range []func(measurement) float64{
		func(m measurement) float64 { return float64(m.bytes) },
		func(m measurement) float64 { return m.seconds },
	} {
		best := [2]float64{}
		for i, m := range r.cells[c] {
			side := 0
			if i >= own {
				side = 1
			}
			if v := of(m); best[side] == 0 || v < best[side] {
				best[side] = v
			}
		}
		if best[0] == 0 || best[1] == 0 {
			return ""
		}
		words = append(words, fmt.Sprintf("%.2f", best[1]/best[0]))
	}
	return strings.Join(words, ", ")
}

func rateName(r lab.Rate) string {
	if r == 0 {
		return "unlimited"
	}
	return fmt.Sprintf("%d Mbit/s", r/lab.Mbit)
}
