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
	s, err := d.openHosts(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	return d.withLock(ctx, s.target, s.fleet, "rollback "+c.Release, c.LockWait, func(ctx context.Context, lock *orchestrate.Lock) error {
		found, err := s.observe(ctx)
		if err != nil {
			return err
		}
		want, err := orchestrate.Rollback(s.target.app, c.Release, found)
		if err != nil {
			return err
		}
		conf := s.target.conf
		want.Group, want.Wait = conf.Boot.GroupSize(len(s.target.hosts)), conf.Boot.Wait
		want.Retain, want.HTTPPort = conf.Retain-1, conf.Proxy.HTTPPort
		p, refusals := orchestrate.NewPlan(want, found)
		if err := errors.Join(refusals...); err != nil {
			return err
		}
		return s.execute(ctx, "rollback", p, lock)
	})
}

// openHosts is a session without a source: for commands that only look at the hosts, or use what they hold.
func (d *deps) openHosts(ctx context.Context) (*session, error) {
	s := &session{deps: d}
	var err error
	if s.target, err = d.loadTarget(); err != nil {
		return nil, err
	}
	if s.fleet, err = d.connectTarget(ctx, s.target); err != nil {
		return nil, err
	}
	s.close = append(s.close, s.fleet.Close)
	return s, nil
}
