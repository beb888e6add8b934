package main

import (
	"errors"
	"fmt"

	"ship/internal/ui"
	"ship/orchestrate"
)

// report prints what a deploy or rollback did, and says plainly what serves now when it failed. A run that never came
// to do anything has no hosts to report.
func (d *deps) report(rep orchestrate.Report, err error) error {
	if len(rep.Hosts) == 0 {
		return err
	}
	d.result(rep)
	rows := [][]string{{"HOST", "BEFORE", "SERVES NOW", "LAYERS SENT", "BYTES"}}
	for _, h := range rep.Hosts {
		row := []string{h.Host, h.Before, h.Serves, "", ""}
		if all := h.LayersSent + h.LayersHeld; all > 0 {
			row[3], row[4] = fmt.Sprintf("%d of %d", h.LayersSent, all), ui.Bytes(h.Bytes)
		}
		rows = append(rows, row)
	}
	d.table(rows)
	var serving *orchestrate.ServingError
	switch {
	case err == nil:
		d.printf("%s serves on %d hosts (%s)\n", rep.Release, len(rep.Hosts), ui.Duration(rep.Took))
	case exitCode(err) != codeMixed && !errors.As(err, &serving):
		d.printf("nothing has changed: what served before still serves on every host\n")
	}
	return err
}
