package orchestrate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"ship/internal/docker"
	"ship/internal/event"
	"ship/layers"
	"ship/transfer"
)

// ProxyImage is the image of ship's own proxy, shipped like any other.
type ProxyImage struct {
	Source    layers.Source
	ID        string // 12 hex digits; of what is in it, for all platforms
	Version   string // of ship: who starts it, for people
	HTTPPort  int
	HTTPSPort int
	Args      []string // more for the proxy's command
}

// Ref is the tag under which hosts keep it.
func (p ProxyImage) Ref() string { return "ship/proxy:" + p.ID }

// restartAlways is the policy of a proxy that serves.
const restartAlways = "unless-stopped"

// spec of the proxy's container. It shares the host's network, so that clients' addresses reach the apps and no
// packet is translated twice, and is given nothing else of the host: no capability but to bind low ports, no file.
// Each call names another instance: by that a proxy is told from its successor.
func (p ProxyImage) spec(name string) docker.ContainerSpec {
	stop, port, https, instance := 30, strconv.Itoa(p.HTTPPort), strconv.Itoa(p.HTTPSPort), newInstance()
	return docker.ContainerSpec{
		Name: name, Image: p.Ref(), Network: "host", Restart: restartAlways,
		Cmd:          append([]string{"--http-port", port, "--https-port", https, "--instance", instance, "--version", p.Version}, p.Args...),
		Labels:       map[string]string{LabelProxy: p.Version, LabelPort: port, LabelHTTPSPort: https, LabelInstance: instance, LabelArgs: p.args()},
		Mounts:       []docker.Mount{{Type: "volume", Source: ProxyName, Target: "/state"}},
		CapDrop:      []string{"ALL"},
		CapAdd:       []string{"NET_BIND_SERVICE"},
		ReadOnlyRoot: true,
		SecurityOpt:  []string{"no-new-privileges"},
		Tmpfs:        map[string]string{"/run": "size=1m"},
		StopTimeout:  &stop,
		LogMaxSize:   "10m",
	}
}

func (p ProxyImage) args() string { return strings.Join(p.Args, " ") }

func newInstance() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// readyProxy makes the proxy run, if the plan says that it does not.
func (r *run) readyProxy(ctx context.Context, h Host, act ProxyAct) error {
	if act == ProxyReady {
		return nil
	}
	return r.alone(ctx, h, func(ctx context.Context) error { return r.runProxy(ctx, h, act) })
}

func (r *run) runProxy(ctx context.Context, h Host, act ProxyAct) error {
	g, err := settleProxy(ctx, h)
	switch {
	case err != nil:
		return err
	case g.runs():
	case g.current != nil:
		r.say(event.Phase, h.Name, "proxy", "starting the proxy")
		err = h.Engine.StartContainer(ctx, g.current.ID)
	case act == ProxyBoot:
		r.say(event.Phase, h.Name, "proxy", "booting the proxy")
		err = bootProxy(ctx, h, r.Proxy)
	default:
		err = errors.New("the proxy was removed meanwhile; run the command again")
	}
	if err != nil {
		return err
	}
	return answers(ctx, h, ProxyName, "")
}

func bootProxy(ctx context.Context, h Host, p ProxyImage) error {
	labels := map[string]string{LabelProxy: p.Version}
	if err := h.Engine.EnsureVolume(ctx, ProxyName, labels); err != nil {
		return fmt.Errorf("create volume: %w", err)
	}
	_, err := h.Engine.CreateContainer(ctx, p.spec(ProxyName))
	if err != nil && !errors.Is(err, docker.ErrConflict) { // a conflict: another service's run was faster
		return fmt.Errorf("create container: %w", err)
	}
	if err := h.Engine.StartContainer(ctx, ProxyName); err != nil {
		return fmt.Errorf("start container: %w", err)
	}
	return nil
}

// BootProxy ships the proxy to the hosts and makes it run there; with replace, also where another version or another
// build runs. It also finishes what a killed run has begun, and removes proxies that were replaced and have ended.
func BootProxy(ctx context.Context, in Inputs, replace bool) error {
	r := &run{Inputs: in}
	var targets []transfer.Host
	var at []Host
	found := make([]ObservedProxy, len(in.Hosts))
	err := eachHost(in.Hosts, func(i int, h Host) error {
		var err error
		found[i], err = r.findProxy(ctx, h)
		return onHost(h.Name, "observe", err)
	})
	if err != nil {
		return err
	}
	p := in.Proxy
	for i, o := range found {
		if !o.Running || replace && (o.Image != p.Ref() || o.Port != p.HTTPPort || o.HTTPSPort != p.HTTPSPort || o.Args != p.args() || o.Err != nil) {
			targets, at = append(targets, TransferHost(in.Hosts[i])), append(at, in.Hosts[i])
		}
	}
	if len(targets) == 0 {
		return nil
	}
	o := in.Transfer
	o.Tag = p.Ref()
	if _, err := transfer.Push(ctx, targets, p.Source, o); err != nil {
		return wrap("ship the proxy", err)
	}
	return eachHost(at, func(_ int, h Host) error {
		r.say(event.Phase, h.Name, "proxy", "booting the proxy")
		return onHost(h.Name, "boot proxy", r.alone(ctx, h, func(ctx context.Context) error { return r.replaceProxy(ctx, h) }))
	})
}

// findProxy observes a host's proxy, once it is settled.
func (r *run) findProxy(ctx context.Context, h Host) (ObservedProxy, error) {
	var o Observed
	err := o.readProxy(ctx, h)
	if err != nil || !o.Proxy.Unfinished && o.Proxy.Retired == 0 {
		return o.Proxy, err
	}
	err = r.alone(ctx, h, func(ctx context.Context) error {
		_, err := settleProxy(ctx, h)
		return err
	})
	if err == nil {
		err = o.readProxy(ctx, h)
	}
	return o.Proxy, err
}

func removeIfThere(ctx context.Context, h Host, name string) error {
	if err := h.Engine.RemoveContainer(ctx, name, true); err != nil && !errors.Is(err, docker.ErrNotFound) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// RemoveProxy stops and removes the proxy of a host. Its state stays in its volume.
func RemoveProxy(ctx context.Context, h Host) error {
	g, err := findGates(ctx, h)
	if err != nil {
		return err
	}
	var all []string
	for _, c := range []*docker.Container{g.next, g.current} { // in this order: it would take over
		if c != nil {
			all = append(all, c.ID)
		}
	}
	for _, c := range g.retired {
		all = append(all, c.ID)
	}
	for _, id := range all {
		err := h.Engine.StopContainer(ctx, id, undoTimeout)
		if err == nil {
			err = h.Engine.RemoveContainer(ctx, id, true)
		}
		if err != nil && !errors.Is(err, docker.ErrNotFound) {
			return fmt.Errorf("stop the proxy: %w", err)
		}
	}
	return nil
}
