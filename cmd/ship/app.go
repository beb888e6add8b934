package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ship/config"
	"ship/internal/event"
	"ship/internal/sshx"
	"ship/orchestrate"
	"ship/proxy"
)

// target is the app of the configuration, with the hosts and roles that the flags leave of it.
type target struct {
	conf  *config.App
	app   orchestrate.App
	hosts []string // unique, in the configuration's order
	whole bool     // no flag left anything out
}

// loadTarget reads the configuration and applies -H and -r.
func (d *deps) loadTarget() (*target, error) {
	conf, err := d.loadConfig()
	if err != nil {
		return nil, err
	}
	t := &target{conf: conf, app: orchestrate.App{Service: conf.Service, Destination: conf.Destination}, whole: len(d.Hosts)+len(d.Roles) == 0}
	if err := t.filter(d.Hosts, d.Roles); err != nil {
		return nil, err
	}
	return t, nil
}

// loadConfig reads the configuration that is named or found.
func (d *deps) loadConfig() (*config.App, error) {
	file := d.ConfigFile
	if file == "" {
		found, err := config.Find(".")
		if err != nil {
			return nil, &usageError{err, "`ship init` writes one"}
		}
		file = found
	}
	conf, err := config.Load(file, config.LoadOptions{Destination: d.Destination, Getenv: os.LookupEnv})
	if err != nil {
		var several config.Errors
		if errors.As(err, &several) {
			return nil, err
		}
		return nil, &usageError{err, "`ship init` writes a configuration to start from"}
	}
	return conf, nil
}

// filter leaves the roles and hosts that match the globs, and refuses what matches nothing.
func (t *target) filter(hosts, roles []string) error {
	var kept []config.Role
	for _, r := range t.conf.Roles {
		if !matches(roles, r.Name) {
			continue
		}
		r.Hosts = slices.DeleteFunc(slices.Clone(r.Hosts), func(h string) bool { return !matches(hosts, h) })
		if len(r.Hosts) > 0 {
			kept = append(kept, r)
		}
	}
	if len(kept) == 0 {
		return usagef("", "no host matches --hosts %q --roles %q", strings.Join(hosts, ","), strings.Join(roles, ","))
	}
	t.conf.Roles = kept
	t.hosts = nil
	for _, r := range kept {
		for _, h := range r.Hosts {
			if !slices.Contains(t.hosts, h) {
				t.hosts = append(t.hosts, h)
			}
		}
	}
	return nil
}

func matches(globs []string, name string) bool {
	if len(globs) == 0 {
		return true
	}
	return slices.ContainsFunc(globs, func(g string) bool {
		ok, err := path.Match(g, name)
		return g == name || err == nil && ok
	})
}

// connectTarget opens links to the target's hosts, as its configuration says.
func (d *deps) connectTarget(ctx context.Context, t *target) (*fleet, error) {
	f, err := d.connect(ctx, t.hosts, d.targetSSH(t))
	if err != nil {
		return nil, err
	}
	for i := range f.Hosts {
		f.Hosts[i].Group = groupOf(t.conf.Transfer, f.Hosts[i].Name)
	}
	return f, nil
}

// targetSSH is how the target's hosts are logged in to.
func (d *deps) targetSSH(t *target) sshx.Options {
	o := d.sshOptions()
	s := t.conf.SSH
	o.User, o.Port, o.Jump, o.HostKeys = s.User, s.Port, s.Jump, s.HostKeys
	if o.ConfigFile == "" {
		o.ConfigFile = s.Config
	}
	o.Identities = append(o.Identities, s.Keys...)
	o.Limit = d.limit(t.conf.Transfer.BWLimit)
	return o
}

// owner says who takes a lock, and for what.
func (d *deps) owner(message string) orchestrate.Owner {
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	o := orchestrate.Owner{Who: name + "@" + host, Machine: machineID(host), PID: os.Getpid(), Message: message, Since: time.Now()}
	switch {
	case d.getenv("GITHUB_RUN_ID") != "":
		o.URL = d.getenv("GITHUB_SERVER_URL") + "/" + d.getenv("GITHUB_REPOSITORY") + "/actions/runs/" + d.getenv("GITHUB_RUN_ID")
	case d.getenv("CI_JOB_URL") != "":
		o.URL = d.getenv("CI_JOB_URL")
	}
	return o
}

// machineID tells this boot of this machine, and this PID namespace on it, from every other: process numbers mean
// nothing elsewhere. "" where that cannot be told.
func machineID(host string) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	pids, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return host + " " + strings.TrimSpace(string(boot)) + " " + pids
}

// dead tells whether o was a run on this machine whose process is gone, or is another program by now.
func (d *deps) dead(o orchestrate.Owner) bool {
	host, err := os.Hostname()
	if id := machineID(host); err != nil || id == "" || o.Machine != id || o.PID <= 0 {
		return false
	}
	if err := syscall.Kill(o.PID, 0); errors.Is(err, syscall.ESRCH) {
		return true
	}
	mine, err1 := os.Readlink("/proc/self/exe")
	other, err2 := os.Readlink(filepath.Join("/proc", strconv.Itoa(o.PID), "exe"))
	return err1 == nil && err2 == nil && filepath.Base(strings.TrimSuffix(other, " (deleted)")) != filepath.Base(strings.TrimSuffix(mine, " (deleted)"))
}

// environment resolves every role's variables, secrets included, as KEY=value in the order of their names,
// and the hashes of passwords.
func (d *deps) environment(t *target) (map[string][]string, map[string]*proxy.BasicAuth, error) {
	src, warnings, err := t.conf.OpenSecrets(os.LookupEnv)
	if err != nil {
		return nil, nil, &usageError{err, ""}
	}
	for _, w := range warnings {
		d.ui.Emit(event.Event{Type: event.Warning, Text: w})
	}
	if err := t.conf.CheckSecrets(src); err != nil {
		return nil, nil, &usageError{err, ""}
	}
	out, auth := map[string][]string{}, map[string]*proxy.BasicAuth{}
	for _, r := range t.conf.Roles {
		clear, secret, err := r.Env.Resolve(src)
		if err != nil {
			return nil, nil, &usageError{fmt.Errorf("role %s: %w", r.Name, err), ""}
		}
		var kv []string
		for k, v := range clear {
			kv = append(kv, k+"="+v)
		}
		for k, v := range secret {
			kv = append(kv, k+"="+v.Reveal())
		}
		slices.Sort(kv)
		out[r.Name] = kv
		if auth[r.Name], err = t.basicAuth(r, src); err != nil {
			return nil, nil, &usageError{fmt.Errorf("role %s: %w", r.Name, err), ""}
		}
	}
	return out, auth, nil
}

// basicAuth hashes the password of a role: it goes no further than this. nil = the role has none.
func (t *target) basicAuth(r config.Role, src *config.SecretSource) (*proxy.BasicAuth, error) {
	if r.Proxy == nil || r.Proxy.BasicAuth == nil {
		return nil, nil
	}
	password, _ := src.Lookup(r.Proxy.BasicAuth.Password) // CheckSecrets has found it
	b, err := proxy.NewBasicAuth(t.app.Name()+"."+r.Name, r.Proxy.BasicAuth.User, password.Reveal())
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", r.Proxy.BasicAuth.Password, err)
	}
	return &b, nil
}
