package main

import (
	"fmt"

	"ship/internal/ui"
	"ship/orchestrate"
)

// report prints what a deploy or rollback did, and says plainly what serves now when it failed.
func (d *deps) report(rep orchestrate.Report, err error) error {
	if d.JSON {
		d.result(rep)
		return err
	}
	rows := [][]string{{"HOST", "BEFORE", "SERVES NOW", "LAYERS SENT", "BYTES"}}
	for _, h := range rep.Hosts {
		row := []string{h.Host, h.Before, h.Serves, "", ""}
		if all := h.LayersSent + h.LayersHeld; all > 0 {
			row[3], row[4] = fmt.Sprintf("%d of %d", h.LayersSent, all), ui.Bytes(h.Bytes)
		}
		rows = append(rows, row)
	}
	d.table(rows)
	switch code := exitCode(err); {
	case err == nil:
		d.printf("%s serves on %d hosts (%s)\n", rep.Release, len(rep.Hosts), ui.Duration(rep.Took))
	case code != codeMixed && !servesNew(rep):
		d.printf("nothing has changed: what served before still serves on every host\n")
	}
	return err
}

func servesNew(rep orchestrate.Report) bool {
	for _, h := range rep.Hosts {
		if h.Serves == rep.Release.String() && h.Before != h.Serves {
			return true
		}
	}
	return false
}
