package orchestrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"ship/internal/docker"
)

// startUnit creates and starts the unit's container on an address of its own. The address is fixed for the
// container's life: the proxy must find it again after a reboot, when the engine would deal out other ones.
func (r *run) startUnit(ctx context.Context, h Host, u UnitPlan, st *unitState) error {
	tried := map[netip.Addr]bool{}
	for {
		addr, err := freeAddress(ctx, h, r.plan.Desired.App.Name()+"-"+u.Role, tried)
		if err != nil {
			return err
		}
		spec, err := r.plan.Desired.App.container(u.Unit, r.Generation, addr.String())
		if err != nil {
			return err
		}
		st.name = spec.Name
		if st.id, err = h.Engine.CreateContainer(ctx, spec); err != nil {
			if errors.Is(err, docker.ErrConflict) {
				st.name = "" // it is somebody else's: never to be removed by us
			}
			return fmt.Errorf("create container: %w", err)
		}
		err = h.Engine.StartContainer(ctx, st.id)
		if err == nil {
			return nil
		}
		// Another service's run may have taken the address since we looked.
		if !strings.Contains(strings.ToLower(err.Error()), "address already in use") || len(tried) > 16 {
			return fmt.Errorf("start container: %w", err)
		}
		tried[addr] = true
		if err := h.Engine.RemoveContainer(ctx, st.id, true); err != nil {
			return fmt.Errorf("remove container: %w", err)
		}
		st.id = ""
	}
}

// freeAddress picks an address of the app network that no container on the host has or, being stopped, would ask for.
func freeAddress(ctx context.Context, h Host, unique string, tried map[netip.Addr]bool) (netip.Addr, error) {
	network, err := ensureNetwork(ctx, h, unique)
	if err != nil {
		return netip.Addr{}, err
	}
	used := map[netip.Addr]bool{}
	for a := range tried {
		used[a] = true
	}
	mark := func(s string) {
		s, _, _ = strings.Cut(s, "/")
		if a, err := netip.ParseAddr(s); err == nil {
			used[a] = true
		}
	}
	for _, a := range network.Containers {
		mark(a)
	}
	for _, a := range network.Gateways {
		mark(a)
	}
	all, err := h.Engine.ListContainers(ctx, nil)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("list containers: %w", err)
	}
	for _, c := range all {
		mark(c.Labels[LabelAddress])
	}
	for _, s := range network.Subnets {
		if p, err := netip.ParsePrefix(s); err == nil && p.Addr().Is4() {
			return pickAddress(p, used)
		}
	}
	return netip.Addr{}, fmt.Errorf("network %s has no IPv4 subnet", NetworkName)
}

// pickAddress goes down from the top of the subnet: the engine deals out its own from the bottom.
func pickAddress(subnet netip.Prefix, used map[netip.Addr]bool) (netip.Addr, error) {
	a := lastAddr(subnet).Prev() // the last one is the broadcast address
	for ; subnet.Contains(a) && a != subnet.Masked().Addr(); a = a.Prev() {
		if !used[a] {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("network %s: all addresses of %s are taken", NetworkName, subnet)
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}

// ensureNetwork makes the app network. An engine gives fixed addresses only on a network whose subnet was named;
// which subnet is free, it knows best: so it chooses one, and the network is made again with that one named.
func ensureNetwork(ctx context.Context, h Host, unique string) (docker.Network, error) {
	labels := map[string]string{"ship.network": NetworkName}
	n, err := h.Engine.InspectNetwork(ctx, NetworkName)
	if err == nil || !errors.Is(err, docker.ErrNotFound) {
		return n, wrap("inspect network "+NetworkName, err)
	}
	// The probe's name is this app's own, for others may be at it too; one that is there was left by a run that was killed.
	probe := NetworkName + "-probe-" + unique
	if err := h.Engine.CreateNetwork(ctx, probe, "", labels); err != nil && !errors.Is(err, docker.ErrConflict) {
		return n, wrap("create network", err)
	}
	p, err := h.Engine.InspectNetwork(ctx, probe)
	clean, stop := context.WithTimeout(context.WithoutCancel(ctx), finalTimeout) // it must go also when the run is cancelled now
	defer stop()
	if rm := h.Engine.RemoveNetwork(clean, probe); err == nil && !errors.Is(rm, docker.ErrNotFound) {
		err = rm
	}
	if err != nil {
		return n, wrap("choose a subnet", err)
	}
	if len(p.Subnets) == 0 {
		return n, errors.New("choose a subnet: the engine named none")
	}
	// Two runs may get here at once; an engine may even make two networks of one name, but not on one subnet.
	if err := h.Engine.CreateNetwork(ctx, NetworkName, p.Subnets[0], labels); err != nil && !errors.Is(err, docker.ErrConflict) {
		if n, again := h.Engine.InspectNetwork(ctx, NetworkName); again == nil {
			return n, nil
		}
		return n, wrap("create network "+NetworkName, err)
	}
	n, err = h.Engine.InspectNetwork(ctx, NetworkName)
	return n, wrap("inspect network "+NetworkName, err)
}

func wrap(act string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", act, err)
}

func newlineReader(line []byte) io.Reader { return bytes.NewReader(append(line, '\n')) }
