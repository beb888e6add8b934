package orchestrate

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"ship/config"
	"ship/internal/docker"
	"ship/proxy"
)

// settle is how long a container without proxy and health check must run before it counts as healthy.
const settle = 3 * time.Second

// logSize bounds each container's log on the host's disk.
const logSize = "10m"

// NewDesired is what the configuration asks for with a release's image. env is each role's environment, secrets
// included, as KEY=value; auth is each role's that has one.
func NewDesired(c *config.App, release Release, env map[string][]string, auth map[string]*proxy.BasicAuth) Desired {
	app := App{Service: c.Service, Destination: c.Destination}
	want := Desired{
		App: app, Release: release, Units: map[string][]Unit{},
		Group: c.Boot.GroupSize(len(c.Hosts())), Wait: c.Boot.Wait, Watch: c.Boot.Watch, Retain: c.Retain - 1, HTTPPort: c.Proxy.HTTPPort, HTTPSPort: c.Proxy.HTTPSPort,
	}
	for _, r := range c.Roles {
		for _, h := range r.Hosts {
			for n := range max(1, r.Replicas) {
				want.Units[h] = append(want.Units[h], newUnit(app, r, h, release, env[r.Name], auth[r.Name]).replica(n, r.Replicas))
			}
		}
	}
	return want
}

// eachService changes how a role's requests are handled, on all hosts.
func (d *Desired) eachService(role string, change func(*proxy.Service)) {
	for _, units := range d.Units {
		for _, u := range units {
			if u.Role == role && u.Settings.Service != nil {
				change(u.Settings.Service)
			}
		}
	}
}

func newUnit(app App, r config.Role, host string, release Release, env []string, auth *proxy.BasicAuth) Unit {
	stop := int(r.StopTimeout.Seconds())
	u := Unit{Role: r.Name, Release: release, Image: app.ImageRef(release)}
	u.Spec = docker.ContainerSpec{
		Cmd: r.Cmd, Labels: r.Labels, StopTimeout: &stop, LogMaxSize: logSize, Mounts: mounts(r.Volumes),
		Env: append(slices.Clone(env), "SHIP_SERVICE="+app.Name(), "SHIP_ROLE="+r.Name, "SHIP_HOST="+host, "SHIP_VERSION="+release.Version),
	}
	u.Settings = Settings{DeployTimeout: Duration(r.DeployTimeout), StopTimeout: Duration(r.StopTimeout), Settle: Duration(settle)}
	if h := r.Healthcheck; h != nil {
		u.Spec.Healthcheck = &docker.Healthcheck{Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, Retries: h.Retries}
	}
	if p := r.Proxy; p != nil {
		u.Settings.Port, u.Settings.DrainTimeout = p.AppPort, Duration(p.DrainTimeout)
		u.Settings.Service = &proxy.Service{
			Name: app.proxyService(r.Name), Hosts: p.Hosts, PathPrefix: p.PathPrefix, StripPrefix: p.StripPathPrefix,
			Health: proxy.HealthCheck{
				Type: p.Probe.Type, Service: p.Probe.Service, Statuses: p.Probe.Status, Path: p.Probe.Path, Host: p.Probe.Host, Successes: p.Probe.Successes, Failures: p.Probe.Failures,
				Interval: proxy.Duration(p.Probe.Interval), Timeout: proxy.Duration(p.Probe.Timeout),
			},
			DrainTimeout: proxy.Duration(p.DrainTimeout), ResponseTimeout: proxy.Duration(p.ResponseTimeout), MaxRequestBody: p.MaxRequestBody,
			Redirects: p.Redirects, Compress: p.Compress, Sticky: p.Sticky, RateLimit: rateLimit(p.RateLimit), Allow: p.Allow, BasicAuth: auth, CanonicalHost: p.CanonicalHost, TrustedProxies: p.TrustedProxies,
		}
		if p.Speaks != proxy.SpeaksHTTP { // what is not said keeps the settings of releases that are there
			u.Settings.Service.Speaks = p.Speaks
		}
		if t := p.TLS; t != nil {
			u.Settings.Service.TLS = &proxy.TLS{Auto: t.ACME != nil, KeepHTTP: !t.Redirect, HSTS: proxy.Duration(t.HSTS)}
		}
	}
	return u
}

// replica is the unit as one of so many. A container is told which it is if there are more than one: what is not said keeps
// the hash of those that run.
func (u Unit) replica(n, of int) Unit {
	u.Replica = n
	if of > 1 {
		u.Spec.Env = append(slices.DeleteFunc(slices.Clone(u.Spec.Env), isReplica), replicaEnv+strconv.Itoa(n+1))
	}
	return u
}

const replicaEnv = "SHIP_REPLICA="

func isReplica(env string) bool { return strings.HasPrefix(env, replicaEnv) }

func rateLimit(l *config.RateLimit) *proxy.RateLimit {
	if l == nil {
		return nil
	}
	return &proxy.RateLimit{Requests: l.Requests, Per: proxy.Duration(l.Per), Burst: l.Burst}
}

// mounts are the volumes that config has checked; what does not parse cannot come from there, and is left out.
func mounts(volumes []string) []docker.Mount {
	var out []docker.Mount
	for _, s := range volumes {
		v, err := config.ParseVolume(s)
		if err != nil {
			continue
		}
		m := docker.Mount{Type: "volume", Source: v.Source, Target: v.Target, ReadOnly: v.ReadOnly}
		if !v.Named() {
			m.Type = "bind"
		}
		out = append(out, m)
	}
	return out
}
