package main

import (
	"context"
	"time"

	"ship/orchestrate"
)

// LockCmd looks after the deploy lock by hand.
type LockCmd struct {
	Status  LockStatusCmd  `cmd:"" default:"1" help:"Show who holds the lock."`
	Acquire LockAcquireCmd `cmd:"" help:"Keep others from deploying for a while."`
	Release LockReleaseCmd `cmd:"" help:"Give the lock back, or take it from whoever holds it."`
}

// LockStatusCmd shows who holds the lock.
type LockStatusCmd struct{}

// Run is the command.
func (c *LockStatusCmd) Run(ctx context.Context, d *deps) error {
	return d.withHosts(ctx, func(s *session) error {
		leases, err := orchestrate.Leases(ctx, s.target.app, s.fleet.Hosts)
		if err != nil {
			return err
		}
		type row struct {
			Host  string             `json:"host"`
			Lease *orchestrate.Lease `json:"lease"` // null = free
		}
		var rows []row
		for i, l := range leases {
			rows = append(rows, row{s.fleet.Hosts[i].Name, l})
			if !d.JSON {
				text := "free"
				if l != nil {
					text = "locked by " + l.String()
				}
				d.printf("%s: %s\n", s.fleet.Hosts[i].Name, text)
			}
		}
		if d.JSON {
			d.result(struct {
				Hosts []row `json:"hosts"`
			}{rows})
		}
		return nil
	})
}

// LockAcquireCmd takes the lock for a person.
type LockAcquireCmd struct {
	Message string        `short:"m" required:"" help:"What for: others are shown it."`
	For     time.Duration `default:"1h" help:"The lock ends by itself after this."`
}

// Run is the command.
func (c *LockAcquireCmd) Run(ctx context.Context, d *deps) error {
	if c.For < time.Second {
		return usagef("for example --for 30m", "a lock for %s is none", c.For)
	}
	return d.withHosts(ctx, func(s *session) error {
		o := d.owner(c.Message)
		o.PID = 0 // the lock outlives this process: a person holds it
		_, _, err := orchestrate.Acquire(ctx, s.target.app, s.fleet.Hosts, orchestrate.LockOptions{Owner: o, TTL: c.For, Dead: d.dead})
		if err != nil {
			return err
		}
		d.printf("locked for %s; `ship lock release --force` ends it sooner\n", c.For)
		return nil
	})
}

// LockReleaseCmd ends a lock.
type LockReleaseCmd struct {
	Force bool `help:"Also take it from a run that holds it."`
}

// Run is the command.
func (c *LockReleaseCmd) Run(ctx context.Context, d *deps) error {
	return d.withHosts(ctx, func(s *session) error {
		leases, err := orchestrate.Leases(ctx, s.target.app, s.fleet.Hosts)
		if err != nil {
			return err
		}
		me := d.owner("").Who
		for i, l := range leases {
			if l != nil && !c.Force && (l.Owner.PID != 0 || l.Owner.Who != me) {
				return &orchestrate.LockedError{Host: s.fleet.Hosts[i].Name, Lease: *l}
			}
		}
		return orchestrate.BreakLock(ctx, s.target.app, s.fleet.Hosts)
	})
}
