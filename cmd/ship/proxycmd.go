package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ship/internal/event"
	"ship/orchestrate"
	"ship/proxy"
)

// ProxyCmd looks after the proxy on the hosts.
type ProxyCmd struct {
	Boot    ProxyBootCmd    `cmd:"" help:"Ship the proxy and start it where it does not run."`
	Upgrade ProxyUpgradeCmd `cmd:"" help:"Replace proxies of another version. No request is lost."`
	Status  ProxyStatusCmd  `cmd:"" help:"Show the proxies' services, targets and their health."`
	Logs    ProxyLogsCmd    `cmd:"" help:"Show the proxies' access and error logs, with -f across upgrades."`
	Remove  ProxyRemoveCmd  `cmd:"" help:"Stop and remove the proxies. Needs --yes."`
}

// ProxyBootCmd starts the proxy where it does not run.
type ProxyBootCmd struct{}

// Run is the command.
func (c *ProxyBootCmd) Run(ctx context.Context, d *deps) error { return d.bootProxies(ctx, false) }

// ProxyUpgradeCmd replaces proxies of another version.
type ProxyUpgradeCmd struct{}

// Run is the command.
func (c *ProxyUpgradeCmd) Run(ctx context.Context, d *deps) error { return d.bootProxies(ctx, true) }

func (d *deps) bootProxies(ctx context.Context, replace bool) error {
	return d.withHosts(ctx, func(s *session) error {
		image, err := proxyImage(ctx, s.target.conf.Proxy)
		if err != nil {
			return err
		}
		defer image.Source.Close()
		o, closeSpool, err := d.transfer(s.target.conf.Transfer)
		if err != nil {
			return err
		}
		defer closeSpool()
		in := orchestrate.Inputs{Hosts: s.fleet.Hosts, Proxy: image, Transfer: o, Lock: s.proxyLock("proxy upgrade"), Emit: s.ui.Emit}
		return orchestrate.BootProxy(ctx, in, replace)
	})
}

// proxyLock is how to wait for another run that is at a host's proxy.
func (s *session) proxyLock(message string) orchestrate.LockOptions {
	return orchestrate.LockOptions{Owner: s.owner(message), Dead: s.dead, Notify: func(err error) {
		s.ui.Emit(event.Event{Type: event.Message, Phase: "lock", Text: "waiting: " + err.Error()})
	}}
}

// ProxyStatusCmd shows what the proxies know.
type ProxyStatusCmd struct{}

// Run is the command.
func (c *ProxyStatusCmd) Run(ctx context.Context, d *deps) error {
	return d.withObserved(ctx, func(s *session, found []orchestrate.Observed) error {
		if d.JSON {
			type row struct {
				Host  string                    `json:"host"`
				Proxy orchestrate.ObservedProxy `json:"proxy"`
			}
			var rows []row
			for _, o := range found {
				rows = append(rows, row{o.Host, o.Proxy})
			}
			d.result(struct {
				Hosts []row `json:"hosts"`
			}{rows})
			return nil
		}
		table := [][]string{{"HOST", "PROXY", "SERVICE", "ROUTE", "TARGET", "HEALTH", "IN FLIGHT", "CERTIFICATE"}}
		for _, o := range found {
			state := "none"
			switch {
			case o.Proxy.Err != nil:
				state = "does not answer"
			case o.Proxy.Running:
				state = o.Proxy.Version
			case o.Proxy.Exists:
				state = "stopped"
			}
			if len(o.Proxy.Status.Services) == 0 {
				table = append(table, []string{o.Host, state})
			}
			for _, v := range o.Proxy.Status.Services {
				row := []string{o.Host, state, v.Name, route(v.Hosts, v.PathPrefix), "none", "", "", validity(v)}
				var more [][]string // replicas
				for i, t := range v.Targets() {
					target, well, busy := t.Release+" "+t.Address, health(t.Health, t.Since, t.Last), fmt.Sprint(t.InFlight)
					if i == 0 {
						row[4], row[5], row[6] = target, well, busy
					} else {
						more = append(more, []string{"", "", "", "", target, well, busy})
					}
				}
				if v.Halt != nil {
					row[5] = strings.TrimPrefix(row[5]+", "+haltText(v.Halt), ", ")
				}
				table = append(append(table, row), more...)
			}
		}
		d.table(table)
		return nil
	})
}

// validity is what a person wants to know of a service's certificate.
func validity(v proxy.ServiceStatus) string {
	c := v.TLSCert
	switch {
	case c == nil:
		return ""
	case v.ACME != nil && v.ACME.Error != "":
		text := "until " + c.NotAfter.Format(time.DateOnly)
		if c.Error != "" {
			text = "none"
		}
		return text + ", asks again at " + v.ACME.Next.Format(time.DateTime) + ": " + v.ACME.Error
	case v.ACME != nil && c.Error == "":
		return "until " + c.NotAfter.Format(time.DateOnly) + ", renewed on " + v.ACME.Next.Format(time.DateOnly)
	case c.Error != "":
		return c.Error
	}
	return "until " + c.NotAfter.Format(time.DateOnly)
}

func route(hosts []string, prefix string) string {
	if len(hosts) == 0 {
		hosts = []string{"*"}
	}
	return strings.Join(hosts, ",") + prefix
}

// ProxyRemoveCmd removes the proxies.
type ProxyRemoveCmd struct{}

// Run is the command.
func (c *ProxyRemoveCmd) Run(ctx context.Context, d *deps) error {
	if !d.Yes {
		return usagef("repeat it with --yes", "removing the proxy stops all traffic to its hosts")
	}
	return d.withHosts(ctx, func(s *session) error {
		for _, h := range s.fleet.Hosts {
			if err := orchestrate.RemoveProxy(ctx, h); err != nil {
				return &orchestrate.HostError{Host: h.Name, Step: "remove proxy", Err: err}
			}
		}
		return nil
	})
}
