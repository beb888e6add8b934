package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"ship/internal/ui"
	"ship/layers"
	"ship/transfer"
)

// printForecast tells who would send what to whom. A host that is refused, or does not answer, is an error.
func (d *deps) printForecast(f transfer.Forecast) error {
	d.result(f)
	rows := [][]string{{"HOST", "LAYER", "FROM", "HOW", "BYTES"}}
	var errs []error
	for _, h := range f.Hosts {
		held := 0
		for _, l := range h.Layers {
			if l.How == transfer.HowHeld {
				held++
				continue
			}
			rows = append(rows, forecastRow(h.Host, l))
		}
		if held > 0 {
			rows = append(rows, []string{h.Host, fmt.Sprintf("%d layers", held), "", transfer.HowHeld, "0 B"})
		}
		if h.Err != nil {
			errs = append(errs, h.Err)
		}
	}
	d.table(rows)
	d.printf("%s\n", forecastSums(f))
	return errors.Join(errs...)
}

func forecastRow(host string, l transfer.LayerForecast) []string {
	from, bytes := l.From, ui.Bytes(max(l.Bytes, 0))
	if l.Bytes < 0 {
		bytes = "unknown"
	}
	if from == "" {
		from = "here"
	}
	how := l.How
	switch l.How {
	case transfer.HowMoved:
		from = host
	case transfer.HowPatch:
		how = "patch of " + layers.DiffID(l.Base).Short()
		if l.Bytes >= 0 {
			bytes = "at most " + bytes
		}
	}
	return []string{host, layers.DiffID(l.DiffID).Short(), from, how, bytes}
}

// forecastSums is one line: who sends how much, for how long, and the room that it takes.
func forecastSums(f transfer.Forecast) string {
	var b strings.Builder
	fmt.Fprintf(&b, "uplink about %s", ui.Bytes(f.Uplink))
	if f.Peers > 0 {
		fmt.Fprintf(&b, ", between hosts %s", ui.Bytes(f.Peers))
	}
	if f.Unknown > 0 {
		fmt.Fprintf(&b, ", layers of unknown size: %d", f.Unknown)
	}
	if f.Took > 0 {
		fmt.Fprintf(&b, ", %s at the rate of the last run", f.Took.Round(100*time.Millisecond))
	}
	sep := "; disk: "
	for _, h := range f.Hosts {
		if h.Disk <= 0 {
			continue
		}
		fmt.Fprintf(&b, "%s%s %s", sep, h.Host, ui.Bytes(h.Disk))
		sep = ", "
		if h.Free >= 0 {
			fmt.Fprintf(&b, " of %s free", ui.Bytes(h.Free))
		}
	}
	return b.String()
}
