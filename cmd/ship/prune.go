package main

import (
	"context"
	"time"

	"ship/orchestrate"
)

// PruneCmd removes what is beyond retain.
type PruneCmd struct {
	Retain   int           `default:"-1" placeholder:"N" help:"Keep so many stopped containers a role (default: the configuration's)."`
	LockWait time.Duration `name:"lock-wait" help:"Wait this long for a run that holds the lock."`
}

// Run is the command.
func (c *PruneCmd) Run(ctx context.Context, d *deps) error {
	return d.withHosts(ctx, func(s *session) error {
		retain := c.Retain
		if retain < 0 {
			retain = s.target.conf.Retain - 1 // the configuration counts the one that serves
		}
		return s.withLock(ctx, "prune", c.LockWait, func(ctx context.Context, _ *orchestrate.Lock) error {
			plans, err := orchestrate.Prune(ctx, s.target.app, s.fleet.Hosts, retain, d.ui.Emit)
			type row struct {
				Host       string `json:"host"`
				Containers int    `json:"containers"`
				Images     int    `json:"images"`
			}
			var rows []row
			for _, p := range plans {
				if p.Host == "" { // not asked: the error says why
					continue
				}
				r := row{p.Host, len(p.Clear) + len(p.Prune), len(p.Images)}
				rows = append(rows, r)
				if !d.JSON {
					d.printf("%s: removed %d containers and %d images\n", r.Host, r.Containers, r.Images)
				}
			}
			if d.JSON && err == nil {
				d.result(struct {
					Hosts []row `json:"hosts"`
				}{rows})
			}
			return err
		})
	})
}
