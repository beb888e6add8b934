package main

import (
	"context"
	"errors"
	"time"

	"ship/orchestrate"
)

// RollbackCmd runs an earlier release again, by the path of a deploy.
type RollbackCmd struct {
	Release  string        `arg:"" optional:"" help:"Version or ID of the release (default: the newest that does not serve); see ship releases."`
	LockWait time.Duration `name:"lock-wait" help:"Wait this long for a run that holds the lock."`
}

// Run is the command.
func (c *RollbackCmd) Run(ctx context.Context, d *deps) error {
	return d.withHosts(ctx, func(s *session) error {
		var rep orchestrate.Report
		err := s.withLock(ctx, "rollback "+c.Release, c.LockWait, func(ctx context.Context, lock *orchestrate.Lock) error {
			found, err := s.observe(ctx)
			if err != nil {
				return err
			}
			want, err := orchestrate.Rollback(s.target.app, c.Release, found, func(role string) bool { return matches(d.Roles, role) })
			if err != nil {
				return err
			}
			conf := s.target.conf
			want.Group, want.Wait, want.Watch = conf.Boot.GroupSize(len(s.target.hosts)), conf.Boot.Wait, conf.Boot.Watch
			want.Retain, want.HTTPPort, want.HTTPSPort = conf.Retain-1, conf.Proxy.HTTPPort, conf.Proxy.HTTPSPort
			p, refusals := orchestrate.NewPlan(want, found)
			if err := errors.Join(refusals...); err != nil {
				return err
			}
			rep, err = s.execute(ctx, "rollback", p, lock)
			return err
		})
		return s.report(rep, err)
	})
}
