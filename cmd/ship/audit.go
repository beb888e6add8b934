package main

import (
	"bytes"
	"context"
	"encoding/json"

	"ship/orchestrate"
)

// AuditCmd shows the audit logs of the hosts.
type AuditCmd struct {
	Lines int `short:"n" default:"20" help:"Entries of each host."`
}

// Run is the command.
func (c *AuditCmd) Run(ctx context.Context, d *deps) error {
	return d.withHosts(ctx, func(s *session) error {
		logs, err := orchestrate.AuditLog(ctx, s.target.app, s.fleet.Hosts, c.Lines)
		if err != nil {
			return err
		}
		type entry struct {
			Host string `json:"host"`
			orchestrate.AuditEntry
		}
		var all []entry
		rows := [][]string{{"TIME", "HOST", "WHO", "ACT", "RELEASE", "OUTCOME"}}
		for i, b := range logs {
			for line := range bytes.Lines(b) {
				e := entry{Host: s.fleet.Hosts[i].Name}
				if json.Unmarshal(line, &e.AuditEntry) != nil {
					continue // cut in half by the log's limit
				}
				all = append(all, e)
				rows = append(rows, []string{e.Time.UTC().Format("2006-01-02 15:04:05Z"), e.Host, e.Who, e.Act, e.Release.String(), e.Outcome})
			}
		}
		if d.JSON {
			d.result(struct {
				Entries []entry `json:"entries"`
			}{all})
			return nil
		}
		d.table(rows)
		return nil
	})
}
