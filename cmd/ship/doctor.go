package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ship/config"
	"ship/internal/ui"
	"ship/orchestrate"
	"ship/proxy"
)

// DoctorCmd checks what a deploy needs, and changes nothing.
type DoctorCmd struct{}

// check is one line of the doctor's: what was looked at, and what is wrong with it if anything is.
type check struct {
	Where string `json:"where"`
	What  string `json:"what"`
	Found string `json:"found"`
	Hint  string `json:"hint,omitempty"`
	OK    bool   `json:"ok"`
}

// lowDisk is the free space under which the doctor warns, in bytes.
const lowDisk = 2 << 30

// Run is the command. It goes on after a failed check, for a person wants to hear of all.
func (c *DoctorCmd) Run(ctx context.Context, d *deps) error {
	var all []check
	t, err := d.loadTarget()
	if err != nil {
		return err
	}
	all = append(all, check{"here", "configuration", fmt.Sprintf("service %s, %d hosts", t.app.Name(), len(t.hosts)), "", true})
	_, _, worst := d.environment(t)
	all = append(all, checked("here", "secrets", "all are set", worst))
	_, _, closeSource, err := d.openSource(ctx, t.conf.Image)
	all = append(all, checked("here", "image", t.conf.Image, err))
	if err == nil {
		defer closeSource()
	}
	worst = errors.Join(worst, err)
	px, err := proxyImage(ctx, t.conf.Proxy)
	if err != nil {
		all = append(all, checked("here", "proxy", "", err))
		worst = errors.Join(worst, err)
	} else {
		defer px.Source.Close()
	}
	for _, name := range t.hosts {
		checks, err := d.examine(ctx, t, name, px)
		all = append(all, checks...)
		worst = errors.Join(worst, err)
	}
	d.printChecks(all)
	if !slices.ContainsFunc(all, func(c check) bool { return !c.OK }) {
		return nil
	}
	if worst == nil {
		worst = &orchestrate.RefusedError{Cause: "some checks failed", Help: "see above"}
	}
	return worst
}

func checked(where, what, found string, err error) check {
	if err == nil {
		return check{where, what, found, "", true}
	}
	c := check{where, what, err.Error(), "", false}
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		c.Hint = h.Hint()
	}
	return c
}

// examine looks at one host.
func (d *deps) examine(ctx context.Context, t *target, name string, px orchestrate.ProxyImage) ([]check, error) {
	one := *t
	one.hosts = []string{name}
	f, err := d.connectTarget(ctx, &one)
	if err != nil {
		return []check{checked(name, "ssh", "", err)}, err
	}
	defer f.Close()
	all := []check{{name, "ssh", "connected, host key known", "", true}}
	found, err := orchestrate.Observe(ctx, t.app, f.Hosts)
	if err != nil {
		return append(all, checked(name, "docker", "", err)), err
	}
	o := found[0]
	store := "graph driver " + o.Info.Driver
	if o.Info.ContainerdStore {
		store = "containerd image store"
	}
	all = append(all,
		check{name, "docker", fmt.Sprintf("%s, %s, linux/%s", o.Info.ServerVersion, store, o.Info.Arch), "", true},
		check{name, "disk", ui.Bytes(o.Free) + " free in " + o.Info.RootDir, "less than 2 GB: `ship prune` may help", o.Free < 0 || o.Free >= lowDisk},
		check{name, "state", o.StateDir, "", true})
	all = append(all, proxyCheck(o, t.conf.Proxy.HTTPPort, px))
	if t.wantsTLS(name) {
		all = append(all, httpsCheck(o, t.conf.Proxy.HTTPSPort))
	}
	leases, err := orchestrate.Leases(ctx, t.app, f.Hosts)
	switch {
	case err != nil:
		all = append(all, checked(name, "lock", "", err))
	case leases[0] != nil:
		all = append(all, check{name, "lock", "held by " + leases[0].String(), "", true})
	default:
		all = append(all, check{name, "lock", "free", "", true})
	}
	for _, odd := range o.Odd {
		all = append(all, check{name, "containers", odd, "it is left alone", true})
	}
	return all, nil
}

func proxyCheck(o orchestrate.Observed, port int, px orchestrate.ProxyImage) check {
	switch {
	case o.Proxy.Err != nil:
		return check{o.Host, "proxy", "runs, but does not answer: " + o.Proxy.Err.Error(), "`ship proxy logs`, `ship proxy upgrade`", false}
	case o.Proxy.Running && px.ID != "" && o.Proxy.Image != px.Ref():
		return check{o.Host, "proxy", "runs, version " + o.Proxy.Version, "that of ship " + version() + " is another: `ship proxy upgrade` when it suits", true}
	case o.Proxy.Running:
		return check{o.Host, "proxy", "runs, version " + o.Proxy.Version, "", true}
	case slices.Contains(o.Listening, port):
		return check{o.Host, "proxy", fmt.Sprintf("port %d is taken by something else", port), "stop that, or set proxy.run.http_port", false}
	}
	return check{o.Host, "proxy", fmt.Sprintf("not there yet: the first deploy boots it; port %d is free", port), "", true}
}

// wantsTLS says whether a role on the host is reached by https.
func (t *target) wantsTLS(host string) bool {
	return slices.ContainsFunc(t.conf.Roles, func(r config.Role) bool {
		return r.Proxy != nil && r.Proxy.TLS != nil && slices.Contains(r.Hosts, host)
	})
}

// httpsCheck looks at the port for https. The proxy listens there once one of its services has TLS.
func httpsCheck(o orchestrate.Observed, port int) check {
	listens := o.Proxy.Running && slices.ContainsFunc(o.Proxy.Status.Services, func(s proxy.ServiceStatus) bool { return s.TLS != nil })
	switch {
	case o.Proxy.Running && o.Proxy.HTTPSPort == 0:
		return check{o.Host, "https", "the proxy is of a version without https", "`ship proxy upgrade` replaces it without a gap", false}
	case o.Proxy.Running && o.Proxy.HTTPSPort != port:
		return check{o.Host, "https", fmt.Sprintf("the proxy has port %d for https, proxy.run.https_port says %d", o.Proxy.HTTPSPort, port),
			"`ship proxy upgrade` moves it without a gap", false}
	case !listens && slices.Contains(o.Listening, port):
		return check{o.Host, "https", fmt.Sprintf("port %d is taken by something else", port), "stop that, or set proxy.run.https_port", false}
	case !listens:
		return check{o.Host, "https", fmt.Sprintf("port %d is free", port), "", true}
	}
	return check{o.Host, "https", fmt.Sprintf("the proxy listens on port %d", port), "", true}
}

func (d *deps) printChecks(all []check) {
	if d.JSON {
		d.result(struct {
			Checks []check `json:"checks"`
		}{all})
		return
	}
	rows := [][]string{{"CHECK", "WHERE", "WHAT", "FOUND"}}
	for _, c := range all {
		mark := "ok"
		if !c.OK {
			mark = "FAIL"
		}
		rows = append(rows, []string{mark, c.Where, c.What, c.Found})
		if c.Hint != "" && (!c.OK || c.What == "proxy") {
			rows = append(rows, []string{"hint", c.Where, c.What, c.Hint})
		}
	}
	d.table(rows)
}
