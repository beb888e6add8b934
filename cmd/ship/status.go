package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ship/internal/plain"
	"ship/internal/ui"
	"ship/orchestrate"
)

// StatusCmd shows what runs where.
type StatusCmd struct{}

// Run is the command.
func (c *StatusCmd) Run(ctx context.Context, d *deps) error {
	return d.withObserved(ctx, func(s *session, found []orchestrate.Observed) error {
		leases, err := orchestrate.Leases(ctx, s.target.app, s.fleet.Hosts)
		if err != nil {
			return err
		}
		rows := orchestrate.Status(s.target.app, found)
		if d.JSON {
			d.result(struct {
				Containers []orchestrate.StatusRow `json:"containers"`
				Mixed      bool                    `json:"mixed"`
			}{rows, orchestrate.Mixed(found)})
			return nil
		}
		table := [][]string{{"HOST", "ROLE", "RELEASE", "TRAFFIC", "STATE", "HEALTH", "SINCE"}}
		for _, r := range rows {
			if r.Halt != nil {
				r.Traffic = haltText(r.Halt)
			}
			table = append(table, []string{r.Host, r.Role, r.Release.String(), r.Traffic, r.State, health(r.Health, r.HealthAt, r.Answer), age(r.Since)})
		}
		d.table(table)
		if orchestrate.Mixed(found) {
			d.printf("the hosts serve different releases: `ship deploy` brings them together\n")
		}
		for i, l := range leases {
			if l != nil {
				d.printf("%s: locked by %s\n", s.fleet.Hosts[i].Name, l)
			}
		}
		return nil
	})
}

// maxAnswerText bounds what of a health check's answer goes into a table, in bytes.
const maxAnswerText = 100

// health is how a target is, since when, and what it answered last.
func health(state string, since time.Time, answer string) string {
	state = plain.Text(state, maxAnswerText)
	if !since.IsZero() {
		state += " for " + ui.Duration(max(0, time.Since(since)).Round(time.Second))
	}
	if answer != "" {
		state += ", " + plain.Text(answer, maxAnswerText)
	}
	return state
}

func age(t time.Time) string {
	if t.IsZero() || t.Year() < 1970 {
		return ""
	}
	return ui.Duration(time.Since(t).Round(time.Second)) + " ago"
}

// ReleasesCmd lists what can be rolled back to.
type ReleasesCmd struct{}

// Run is the command.
func (c *ReleasesCmd) Run(ctx context.Context, d *deps) error {
	return d.withObserved(ctx, func(s *session, found []orchestrate.Observed) error {
		list := orchestrate.Releases(found)
		if d.JSON {
			d.result(struct {
				Releases []orchestrate.Stored `json:"releases"`
			}{list})
			return nil
		}
		table := [][]string{{"RELEASE", "ID", "HELD BY", "SERVES ON"}}
		for _, r := range list {
			var held, serves []string
			for _, h := range s.target.hosts {
				if len(r.Hosts[h]) > 0 {
					held = append(held, h)
				}
				if r.Serving[h] {
					serves = append(serves, h)
				}
			}
			table = append(table, []string{r.Release.Version, r.Release.ID, fmt.Sprintf("%d of %d hosts", len(held), len(s.target.hosts)), strings.Join(serves, " ")})
		}
		d.table(table)
		return nil
	})
}
