package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"ship/internal/event"
	"ship/internal/plain"
	"ship/internal/ui"
	"ship/orchestrate"
	"ship/proxy"
)

// HaltCommands keep requests from the app for a while.
type HaltCommands struct {
	Maintenance MaintenanceCmd `cmd:"" help:"Have the proxies answer 503 with a message instead of the app."`
	Pause       PauseCmd       `cmd:"" help:"Have the proxies hold new requests for a moment: for a migration, say."`
	Resume      ResumeCmd      `cmd:"" help:"Let the requests that a pause holds go on."`
}

// MaintenanceCmd has the proxies answer for the app.
type MaintenanceCmd struct {
	On  MaintenanceOnCmd  `cmd:"" help:"Answer every new request with 503 and a message, until it is off: through deploys and restarts too."`
	Off MaintenanceOffCmd `cmd:"" help:"Let requests reach the app again."`
}

// MaintenanceOnCmd begins it.
type MaintenanceOnCmd struct {
	Message    string        `placeholder:"TEXT" help:"What people and API clients are told."`
	RetryAfter time.Duration `name:"retry-after" placeholder:"DURATION" help:"When clients are told to come again."`
}

// Run is the command.
func (c *MaintenanceOnCmd) Run(ctx context.Context, d *deps) error {
	return d.halt(ctx, "maintenance on", proxy.Halt{Kind: proxy.Maintenance, Message: c.Message, RetryAfter: proxy.Duration(c.RetryAfter)})
}

// MaintenanceOffCmd ends it.
type MaintenanceOffCmd struct{}

// Run is the command.
func (c *MaintenanceOffCmd) Run(ctx context.Context, d *deps) error {
	return d.resume(ctx, "maintenance off", proxy.Maintenance)
}

// PauseCmd holds new requests.
type PauseCmd struct {
	For time.Duration `default:"30s" help:"The pause ends by itself after this, 10m at most, and what waits then gets 503."`
}

// Run is the command.
func (c *PauseCmd) Run(ctx context.Context, d *deps) error {
	if c.For <= 0 {
		return usagef("for example --for 30s", "a pause for %s is none", c.For)
	}
	return d.halt(ctx, "pause", proxy.Halt{Kind: proxy.Pause, For: proxy.Duration(c.For)})
}

// ResumeCmd ends a pause.
type ResumeCmd struct{}

// Run is the command.
func (c *ResumeCmd) Run(ctx context.Context, d *deps) error {
	return d.resume(ctx, "resume", proxy.Pause)
}

// haltRow is a host in the result of these commands.
type haltRow struct {
	Host  string   `json:"host"`
	Roles []string `json:"roles"`
	Was   bool     `json:"was,omitempty"` // there was something to end
}

// halt keeps requests from the app on all hosts of its proxied roles.
func (d *deps) halt(ctx context.Context, act string, h proxy.Halt) error {
	if err := h.Check(); err != nil { // before any host is asked
		return usagef("see ship "+act+" --help", "%w", err)
	}
	return d.atDoors(ctx, act, func(s *session, roles map[string][]string) error {
		if err := orchestrate.Halt(ctx, s.target.app, s.fleet.Hosts, roles, h); err != nil {
			return err
		}
		d.haltDone(s, act, roles, nil)
		return nil
	})
}

// resume lets requests reach the app again.
func (d *deps) resume(ctx context.Context, act string, kind proxy.HaltKind) error {
	return d.atDoors(ctx, act, func(s *session, roles map[string][]string) error {
		was, err := orchestrate.Resume(ctx, s.target.app, s.fleet.Hosts, roles, kind)
		if err != nil {
			return err
		}
		d.haltDone(s, act, roles, was)
		return nil
	})
}

func (d *deps) haltDone(s *session, act string, roles map[string][]string, was []bool) {
	var (
		rows  []haltRow
		names []string
	)
	idle := was != nil && !slices.Contains(was, true)
	for i, h := range s.fleet.Hosts {
		row := haltRow{Host: h.Name, Roles: roles[h.Name]}
		if was != nil {
			row.Was = was[i]
		}
		rows, names = append(rows, row), append(names, h.Name)
	}
	d.result(struct {
		Hosts []haltRow `json:"hosts"`
	}{rows})
	note := ""
	if idle {
		note = "; there was nothing to end"
	}
	d.printf("%s: %s%s\n", act, strings.Join(names, ", "), note)
}

// atDoors runs do with the hosts that have a role behind the proxy, and writes down what came of it.
func (d *deps) atDoors(ctx context.Context, act string, do func(*session, map[string][]string) error) error {
	return d.withHosts(ctx, func(s *session) error {
		roles := s.target.proxied()
		s.fleet.Hosts = slices.DeleteFunc(s.fleet.Hosts, func(h orchestrate.Host) bool { return roles[h.Name] == nil })
		if len(s.fleet.Hosts) == 0 {
			return usagef("", "none of these roles is behind the proxy")
		}
		err := do(s, roles)
		e := orchestrate.AuditEntry{Time: time.Now(), Who: s.owner("").Who, Act: act, Outcome: "done"}
		if err != nil {
			e.Outcome = err.Error()
		}
		var partly *orchestrate.PartlyError
		if errors.As(err, &partly) {
			d.printf("%s: %s, and not on all hosts\n", act, strings.Join(partly.Done, ", "))
		}
		if e := orchestrate.Audit(ctx, s.target.app, s.fleet.Hosts, e); e != nil {
			s.ui.Emit(event.Event{Type: event.Warning, Phase: "audit", Text: e.Error()})
		}
		return err
	})
}

// proxied are the roles behind the proxy, by host.
func (t *target) proxied() map[string][]string {
	all := map[string][]string{}
	for _, r := range t.conf.Roles {
		if r.Proxy == nil {
			continue
		}
		for _, h := range r.Hosts {
			all[h] = append(all[h], r.Name)
		}
	}
	return all
}

// haltText is a halt as a table shows it.
func haltText(h *proxy.Halt) string {
	text := plain.Text(string(h.Kind), maxAnswerText) + " for " + ui.Duration(time.Since(h.Since).Round(time.Second))
	if h.Message != "" {
		text += ": " + plain.Text(h.Message, maxAnswerText)
	}
	return strings.TrimSpace(text)
}
