package ui

import (
	"io"
	"strings"
	"text/tabwriter"
)

// Table writes rows in columns, the first row being the head ("HOST", "RELEASE"). What stands in a cell is made safe.
func Table(w io.Writer, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = visible(cell)
			if cells[i] == "" {
				cells[i] = "-" // an empty cell would move its neighbours in the eye, and in awk
			}
		}
		if _, err := io.WriteString(tw, defuse(strings.Join(cells, "\t"))+"\n"); err != nil {
			return err
		}
	}
	return tw.Flush()
}
