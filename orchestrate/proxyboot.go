package orchestrate

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"ship/internal/docker"
	"ship/internal/event"
	"ship/layers"
	"ship/transfer"
)

// ProxyImage is the image of ship's own proxy: made from the running binary, shipped like any other.
type ProxyImage struct {
	Source   layers.Source
	ID       string // first 12 hex digits of its config digest
	Version  string // of ship
	HTTPPort int
}

// Ref is the tag under which hosts keep it.
func (p ProxyImage) Ref() string { return "ship/proxy:" + p.ID }

// spec of the proxy's container. It shares the host's network, so that clients' addresses reach the apps and no
// packet is translated twice, and is given nothing else of the host: no capability but to bind low ports, no file.
func (p ProxyImage) spec() docker.ContainerSpec {
	stop := 30
	return docker.ContainerSpec{
		Name: ProxyName, Image: p.Ref(), Network: "host", Restart: "unless-stopped",
		Cmd:          []string{"--http-port", strconv.Itoa(p.HTTPPort)},
		Labels:       map[string]string{LabelProxy: p.Version, LabelPort: strconv.Itoa(p.HTTPPort)},
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

// readyProxy makes the proxy run, if the plan says that it does not.
func (r *run) readyProxy(ctx context.Context, h Host, act ProxyAct) error {
	switch act {
	case ProxyReady:
		return nil
	case ProxyStart:
		r.say(event.Phase, h.Name, "proxy", "starting the proxy")
		if err := h.Engine.StartContainer(ctx, ProxyName); err != nil {
			return err
		}
	case ProxyBoot:
		r.say(event.Phase, h.Name, "proxy", "booting the proxy")
		if err := bootProxy(ctx, h, r.Proxy); err != nil {
			return err
		}
	}
	return proxyAnswers(ctx, h)
}

func bootProxy(ctx context.Context, h Host, p ProxyImage) error {
	labels := map[string]string{LabelProxy: p.Version}
	if err := h.Engine.EnsureVolume(ctx, ProxyName, labels); err != nil {
		return fmt.Errorf("create volume: %w", err)
	}
	_, err := h.Engine.CreateContainer(ctx, p.spec())
	if err != nil && !errors.Is(err, docker.ErrConflict) { // a conflict: another service's run was faster
		return fmt.Errorf("create container: %w", err)
	}
	if err := h.Engine.StartContainer(ctx, ProxyName); err != nil {
		return fmt.Errorf("start container: %w", err)
	}
	return nil
}

// proxyAnswers waits until the proxy's control answers.
func proxyAnswers(ctx context.Context, h Host) error {
	var last error
	for range 40 {
		if _, last = h.Proxy.Status(ctx); last == nil {
			return nil
		}
		c, err := h.Engine.InspectContainer(ctx, ProxyName)
		if err == nil && c.State != "created" && (!c.Running || c.Restarting || c.RestartCount > 0) {
			logs := strings.Join(lastLines(ctx, h, ProxyName, 5), "; ")
			return fmt.Errorf("the proxy does not stay up: %w: %s", exited(c), logs)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(150 * time.Millisecond):
		}
	}
	return fmt.Errorf("the proxy does not answer: %w", last)
}

// BootProxy ships the proxy to the hosts and makes it run there; with replace, also where another version runs:
// that one is stopped first, and its port refuses connections for the second that this takes.
func BootProxy(ctx context.Context, hosts []Host, p ProxyImage, o transfer.Options, replace bool) error {
	r := &run{Inputs: Inputs{Hosts: hosts, Proxy: p, Emit: o.Emit}}
	var targets []transfer.Host
	var at []Host
	found := make([]ObservedProxy, len(hosts))
	err := eachHost(hosts, func(i int, h Host) error {
		var o Observed
		err := o.readProxy(ctx, h)
		found[i] = o.Proxy
		return onHost(h.Name, "observe", err)
	})
	if err != nil {
		return err
	}
	for i, o := range found {
		if !o.Running || replace && (o.Version != p.Version || o.Port != p.HTTPPort || o.Err != nil) {
			targets, at = append(targets, TransferHost(hosts[i])), append(at, hosts[i])
		}
	}
	if len(targets) == 0 {
		return nil
	}
	o.Tag = p.Ref()
	if _, err := transfer.Push(ctx, targets, p.Source, o); err != nil {
		return wrap("ship the proxy", err)
	}
	return eachHost(at, func(_ int, h Host) error {
		r.say(event.Phase, h.Name, "proxy", "booting the proxy")
		return onHost(h.Name, "boot proxy", replaceProxy(ctx, h, p))
	})
}

// replaceProxy stops the old proxy and boots the new one. If that does not come up, the old one takes its place again.
func replaceProxy(ctx context.Context, h Host, p ProxyImage) error {
	// Once the old one stops, cancelling would leave the host without a proxy: go on to the end.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 3*undoTimeout)
	defer stop()
	const old = ProxyName + "-old"
	if err := removeIfThere(ctx, h, old); err != nil {
		return err
	}
	err := h.Engine.RenameContainer(ctx, ProxyName, old)
	there := err == nil
	if err != nil && !errors.Is(err, docker.ErrNotFound) {
		return fmt.Errorf("rename the old proxy: %w", err)
	}
	if there {
		if err := h.Engine.StopContainer(ctx, old, undoTimeout); err != nil {
			return fmt.Errorf("stop the old proxy: %w", err)
		}
	}
	if err = bootProxy(ctx, h, p); err == nil {
		err = proxyAnswers(ctx, h)
	}
	switch {
	case err == nil && there:
		return removeIfThere(ctx, h, old)
	case err == nil || !there:
		return err
	}
	back := removeIfThere(ctx, h, ProxyName)
	if back == nil {
		back = h.Engine.RenameContainer(ctx, old, ProxyName)
	}
	if back == nil {
		back = h.Engine.StartContainer(ctx, ProxyName)
	}
	if back != nil {
		return fmt.Errorf("%w; and the old proxy could not be started again: %w", err, back)
	}
	return fmt.Errorf("%w; the old proxy serves again", err)
}

func removeIfThere(ctx context.Context, h Host, name string) error {
	if err := h.Engine.RemoveContainer(ctx, name, true); err != nil && !errors.Is(err, docker.ErrNotFound) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// RemoveProxy stops and removes the proxy of a host. Its state stays in its volume.
func RemoveProxy(ctx context.Context, h Host) error {
	err := h.Engine.StopContainer(ctx, ProxyName, undoTimeout)
	if err == nil {
		err = h.Engine.RemoveContainer(ctx, ProxyName, true)
	}
	if err != nil && !errors.Is(err, docker.ErrNotFound) {
		return fmt.Errorf("stop the proxy: %w", err)
	}
	return nil
}
