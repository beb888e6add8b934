package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ship/config"
	"ship/internal/event"
	"ship/orchestrate"
)

// RemoveCmd takes an app off its hosts. The proxy stays, for other apps may be behind it, and so do images and the audit log.
type RemoveCmd struct {
	Volumes  bool          `help:"Remove its named volumes too, with all that is in them."`
	LockWait time.Duration `name:"lock-wait" help:"Wait this long for a run that holds the lock."`
}

// removal is what a removal does on one host.
type removal struct {
	Host       string   `json:"host"`
	Routes     []string `json:"routes"`
	Containers []string `json:"containers"`
	Volumes    []string `json:"volumes"`
}

// Run is the command.
func (c *RemoveCmd) Run(ctx context.Context, d *deps) error {
	return d.withHosts(ctx, func(s *session) error {
		if !d.Yes {
			plans, _, err := s.removals(ctx, c.Volumes)
			if err != nil {
				return err
			}
			s.showRemovals("would remove", plans)
			return usagef("repeat it with --yes", "this takes %s off %d hosts for good", s.target.app.Name(), len(s.target.hosts))
		}
		return s.withLock(ctx, "remove", c.LockWait, func(ctx context.Context, lock *orchestrate.Lock) error {
			plans, seen, err := s.removals(ctx, c.Volumes)
			if err != nil {
				return err
			}
			if err := lock.Above(ctx, seen); err != nil {
				return err
			}
			err = interrupted(ctx, orchestrate.Remove(ctx, s.target.app, s.fleet.Hosts, plans, lock.Generation(), s.ui.Emit))
			entry := orchestrate.AuditEntry{Time: time.Now(), Who: s.owner("").Who, Act: "remove", Generation: lock.Generation(), Outcome: "done"}
			if err != nil {
				entry.Outcome = err.Error()
			}
			if e := orchestrate.Audit(ctx, s.target.app, s.fleet.Hosts, entry); e != nil {
				s.ui.Emit(event.Event{Type: event.Warning, Phase: "audit", Text: e.Error()})
			}
			if err != nil {
				return err
			}
			s.showRemovals("removed", plans)
			return nil
		})
	})
}

// removals observes the hosts and plans. seen is the highest generation that was found.
func (s *session) removals(ctx context.Context, volumes bool) (plans []orchestrate.RemovePlan, seen int64, err error) {
	found, err := s.observe(ctx)
	if err != nil {
		return nil, 0, err
	}
	var refused []error
	for _, o := range found {
		refused = append(refused, orchestrate.Removable(o))
		seen = max(seen, o.Generation())
		plans = append(plans, orchestrate.NewRemovePlan(s.target.app, func(role string) bool { return matches(s.Roles, role) }, volumes, s.target.volumes(o.Host), o))
	}
	return plans, seen, errors.Join(refused...)
}

// volumes are the named ones that the configuration has for a host.
func (t *target) volumes(host string) (names []string) {
	for _, r := range t.conf.Roles {
		for _, v := range r.Volumes {
			if p, err := config.ParseVolume(v); err == nil && p.Named() && slices.Contains(r.Hosts, host) {
				names = append(names, p.Source)
			}
		}
	}
	return names
}

func (s *session) showRemovals(what string, plans []orchestrate.RemovePlan) {
	var all []removal
	for _, p := range plans {
		r := removal{Host: p.Host, Routes: p.Services, Volumes: p.Volumes}
		for _, c := range p.Containers {
			r.Containers = append(r.Containers, c.Name)
		}
		all = append(all, r)
		if p.Empty() {
			s.printf("%s: has nothing of it\n", p.Host)
			continue
		}
		s.printf("%s: %s %s, %s, %s\n", p.Host, what, count(len(r.Routes), "route"), count(len(r.Containers), "container"), count(len(r.Volumes), "volume"))
	}
	s.result(struct {
		Hosts []removal `json:"hosts"`
	}{all})
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
