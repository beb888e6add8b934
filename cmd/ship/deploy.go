package main

import (
	"context"
	"errors"
	"time"

	"ship/internal/event"
	"ship/orchestrate"
)

// DeployCmd runs a new release on the whole fleet, or leaves it as it was. NoRegistry is a promise that this version keeps
// in any case: no source that it knows is a registry, its proxy is made of itself, and containers are never pulled for.
type DeployCmd struct {
	Source     string        `arg:"" optional:"" help:"Image to deploy instead of the configuration's (docker-daemon:REF, docker-archive:FILE, oci-archive:FILE, oci:DIR, bundle:FILE, ssh://HOST/REF)."`
	NoRegistry bool          `name:"no-registry" help:"Guarantee that nothing in this run contacts a registry."`
	LockWait   time.Duration `name:"lock-wait" help:"Wait this long for a run that holds the lock."`
}

// Run is the command.
func (c *DeployCmd) Run(ctx context.Context, d *deps) error {
	s, err := d.openSession(ctx, c.Source)
	if err != nil {
		return err
	}
	defer s.Close()
	p, err := s.plan(ctx)
	if err != nil {
		return err
	}
	if !p.Changes() {
		d.ui.Emit(event.Event{Type: event.Message, Text: p.Desired.Release.String() + " serves on every host already: nothing to do"})
		return d.report(orchestrate.Unchanged(p), nil)
	}
	var rep orchestrate.Report
	err = s.withLock(ctx, "deploy "+p.Desired.Release.String(), c.LockWait, func(ctx context.Context, lock *orchestrate.Lock) error {
		// What was seen before the lock was ours may be old by now.
		p, err := s.plan(ctx)
		if err != nil {
			return err
		}
		rep, err = s.execute(ctx, "deploy", p, lock)
		return err
	})
	return s.report(rep, err)
}

// plan observes the hosts and plans for what it finds. Refusals are an error.
func (s *session) plan(ctx context.Context) (orchestrate.Plan, error) {
	found, err := s.observe(ctx)
	if err != nil {
		return orchestrate.Plan{}, err
	}
	release, err := releaseOf(ctx, s.source, s.ref, found)
	if err != nil {
		return orchestrate.Plan{}, err
	}
	want := orchestrate.NewDesired(s.target.conf, release, s.env, s.auth)
	want.Orphans, want.Certificates = s.target.whole, s.certificates
	want.Automatic = s.automatic
	for role, text := range s.clientCAs {
		want.SetClientCA(role, text)
	}
	for role, pages := range s.pages {
		want.SetErrorPages(role, pages)
	}
	p, refusals := orchestrate.NewPlan(want, found)
	return p, errors.Join(refusals...)
}

// execute does what p says, and keeps the audit log.
func (s *session) execute(ctx context.Context, act string, p orchestrate.Plan, lock *orchestrate.Lock) (orchestrate.Report, error) {
	var none orchestrate.Report
	if err := lock.Above(ctx, p.Seen); err != nil {
		return none, err
	}
	in := orchestrate.Inputs{Hosts: s.fleet.Hosts, Generation: lock.Generation(), Source: s.source, Lock: s.proxyLock(act), Emit: s.ui.Emit}
	var closeSpool func()
	var err error
	if in.Transfer, closeSpool, err = s.transfer(s.target.conf.Transfer); err != nil {
		return none, err
	}
	defer closeSpool()
	if p.BootsProxy() {
		if in.Proxy, err = proxyImage(ctx, s.target.conf.Proxy); err != nil {
			return none, err
		}
		defer in.Proxy.Source.Close()
	}
	rep, err := orchestrate.Execute(ctx, p, in)
	err = interrupted(ctx, err)
	outcome := "done"
	if err != nil {
		outcome = err.Error()
	}
	entry := orchestrate.AuditEntry{Time: time.Now(), Who: s.owner("").Who, Act: act, Release: p.Desired.Release, Generation: lock.Generation(), Outcome: outcome}
	if e := orchestrate.Audit(ctx, s.target.app, s.fleet.Hosts, entry); e != nil {
		s.ui.Emit(event.Event{Type: event.Warning, Phase: "audit", Text: e.Error()})
	}
	return rep, err
}
