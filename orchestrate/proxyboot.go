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
		Labels:       map[string]string{LabelProxy: p.Version},
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
	id, err := h.Engine.CreateContainer(ctx, p.spec())
	if errors.Is(err, docker.ErrConflict) { // another service's run was faster
		return nil
	}
	if err != nil {
		return fmt.Errorf("create container: %w", err)
	}
	if err := h.Engine.StartContainer(ctx, id); err != nil {
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
		if err == nil && (!c.Running || c.Restarting || c.RestartCount > 0) {
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
func BootProxy(ctx context.Context, hosts []Host, p ProxyImage, spool *layers.Spool, replace bool, emit event.Func) error {
	r := &run{Inputs: Inputs{Hosts: hosts, Proxy: p, Spool: spool, Emit: emit}}
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
		if !o.Running || replace && (o.Version != p.Version || o.Port != p.HTTPPort) {
			targets, at = append(targets, TransferHost(hosts[i])), append(at, hosts[i])
		}
	}
	if len(targets) == 0 {
		return nil
	}
	o := transfer.Options{Tag: p.Ref(), Spool: spool, Emit: emit}
	if _, err := transfer.Push(ctx, targets, p.Source, o); err != nil {
		return wrap("ship the proxy", err)
	}
	return eachHost(at, func(_ int, h Host) error {
		r.say(event.Phase, h.Name, "proxy", "booting the proxy")
		return onHost(h.Name, "boot proxy", replaceProxy(ctx, h, p))
	})
}

func replaceProxy(ctx context.Context, h Host, p ProxyImage) error {
	// Once the old one stops, cancelling would leave the host without a proxy: go on to the end.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 2*undoTimeout)
	defer stop()
	if err := RemoveProxy(ctx, h); err != nil {
		return err
	}
	if err := bootProxy(ctx, h, p); err != nil {
		return err
	}
	return proxyAnswers(ctx, h)
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
