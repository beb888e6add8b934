package docker

import (
	"context"
	"net/http"
	"net/netip"
)

// Network is one network of an engine.
type Network struct {
	ID, Name, Driver string
	Subnets          []string // CIDR
	Gateways         []string // addresses
	Labels           map[string]string
	Containers       map[string]string // name -> address, of those that run
}

// InspectNetwork returns ErrNotFound when there is no network of that name.
func (c *Client) InspectNetwork(ctx context.Context, name string) (Network, error) {
	var a struct {
		ID           string `json:"Id"`
		Name, Driver string
		IPAM         struct {
			Config []struct{ Subnet, Gateway string }
		}
		Labels     map[string]string
		Containers map[string]struct{ Name, IPv4Address, IPv6Address string }
	}
	if err := c.do(ctx, get("inspect network", "/networks/"+name, nil), &a); err != nil {
		return Network{}, err
	}
	n := Network{ID: a.ID, Name: a.Name, Driver: a.Driver, Labels: a.Labels, Containers: map[string]string{}}
	for _, cfg := range a.IPAM.Config {
		n.Subnets = append(n.Subnets, cfg.Subnet)
		if cfg.Gateway != "" {
			n.Gateways = append(n.Gateways, cfg.Gateway)
		}
	}
	for _, m := range a.Containers {
		addr := m.IPv4Address
		if addr == "" {
			addr = m.IPv6Address
		}
		if p, err := netip.ParsePrefix(addr); err == nil {
			addr = p.Addr().String()
		}
		n.Containers[m.Name] = addr
	}
	return n, nil
}

// CreateNetwork makes a bridge network. A subnet (CIDR) allows fixed addresses in it; with "" the engine chooses one and,
// before 29, refuses fixed addresses. It returns ErrConflict when the name is taken.
func (c *Client) CreateNetwork(ctx context.Context, name, subnet string, labels map[string]string) error {
	type pool struct{ Subnet string }
	body := struct {
		Name, Driver   string
		CheckDuplicate bool // else engines before 25 make a second network of that name
		IPAM           struct{ Config []pool }
		Labels         map[string]string
	}{Name: name, Driver: "bridge", CheckDuplicate: true, Labels: labels}
	if subnet != "" {
		body.IPAM.Config = []pool{{subnet}}
	}
	return c.do(ctx, post("create network", "/networks/create", nil, body), nil)
}

// RemoveNetwork fails while containers are attached.
func (c *Client) RemoveNetwork(ctx context.Context, name string) error {
	return c.do(ctx, request{op: "remove network", method: http.MethodDelete, path: "/networks/" + name}, nil)
}

// EnsureVolume makes the volume name unless there is one, which keeps its labels.
func (c *Client) EnsureVolume(ctx context.Context, name string, labels map[string]string) error {
	body := struct {
		Name   string
		Labels map[string]string
	}{name, labels}
	return c.do(ctx, post("create volume", "/volumes/create", nil, body), nil)
}

// RemoveVolume returns ErrNotFound, or ErrConflict while a container uses it.
func (c *Client) RemoveVolume(ctx context.Context, name string) error {
	return c.do(ctx, request{op: "remove volume", method: http.MethodDelete, path: "/volumes/" + name}, nil)
}
