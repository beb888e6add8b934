//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// The switch must be in a namespace of its own: a dockerd on the machine drops what the machine forwards.
func (l *Lab) switchName() string { return l.ID + "-sw" }

const switchRules = `table bridge lab {
	set cut { type ipv4_addr; }
	set cutpair { type ipv4_addr . ipv4_addr; }
	set link { type ipv4_addr . ipv4_addr; flags dynamic; size 65535; counter; }
	chain wires { type filter hook forward priority 0; policy accept;
		ip saddr @cut drop
		ip daddr @cut drop
		ip saddr . ip daddr @cutpair drop
		ether type ip update @link { ip saddr . ip daddr }
	}
}
`

func (l *Lab) switchUp(ctx context.Context) error {
	sw, ctl := l.switchName(), l.ID+"-ctl"
	if _, err := os.Lstat("/run/netns/" + sw); err == nil {
		return nil
	}
	for _, args := range [][]string{
		{"netns", "add", sw},
		{"-n", sw, "link", "add", "br0", "type", "bridge", "forward_delay", "0"},
		{"-n", sw, "link", "set", "br0", "up"},
		{"link", "add", ctl, "type", "veth", "peer", "name", Controller, "netns", sw},
		{"-n", sw, "link", "set", Controller, "master", "br0", "up"},
		{"addr", "add", nth(l.Subnet, 1).String() + "/24", "dev", ctl},
		{"link", "set", ctl, "up"},
	} {
		if _, err := run(ctx, "", "ip", args...); err != nil {
			return fmt.Errorf("make switch: %w", err)
		}
	}
	return l.nft(ctx, switchRules)
}

// switchDown removes the switch and the controller's link, where they exist.
func (l *Lab) switchDown(ctx context.Context) error {
	if _, err := os.Lstat("/sys/class/net/" + l.ID + "-ctl"); err == nil {
		if _, err := run(ctx, "", "ip", "link", "del", l.ID+"-ctl"); err != nil {
			return err
		}
	}
	if _, err := os.Lstat("/run/netns/" + l.switchName()); err == nil {
		if _, err := run(ctx, "", "ip", "netns", "del", l.switchName()); err != nil {
			return err
		}
	}
	return nil
}

// nft gives commands to the switch, all in one transaction.
func (l *Lab) nft(ctx context.Context, commands string) error {
	_, err := run(ctx, commands, "ip", "netns", "exec", l.switchName(), tool("nft"), "-f", "-")
	return err
}

// plug hangs the network namespace of a process on the switch. The MAC address is fixed by the host's number: with
// another one after a reboot the controller's ARP entry keeps the host unreachable for up to a minute.
func (h *Host) plug(ctx context.Context, pid int) error {
	sw := h.lab.switchName()
	mac := fmt.Sprintf("02:48:4c:00:00:%02x", h.index+1)
	if _, err := run(ctx, "", "ip", "-n", sw, "link", "add", h.Name, "type", "veth",
		"peer", "name", "eth0", "address", mac, "netns", strconv.Itoa(pid)); err != nil {
		return err
	}
	_, err := run(ctx, "", "ip", "-n", sw, "link", "set", h.Name, "master", "br0", "up")
	return err
}

// unplug takes the cable out; remove also throws it away. No cable is no error.
func (h *Host) unplug(ctx context.Context, remove bool) error {
	sw := h.lab.switchName()
	if _, err := os.Lstat("/run/netns/" + sw); err != nil {
		return nil
	}
	args := []string{"-n", sw, "link", "set", h.Name, "down"}
	if remove {
		args = []string{"-n", sw, "link", "del", h.Name}
	}
	_, err := run(ctx, "", "ip", args...)
	if err == nil {
		return nil
	}
	// The kernel takes the cable away itself when the host's namespace goes, at any moment: ask only afterwards.
	if _, gone := run(ctx, "", "ip", "-n", sw, "link", "show", "dev", h.Name); gone != nil && ctx.Err() == nil {
		return nil
	}
	return err
}

// Cut drops every IP packet from and to the host, or only those between it and the peers (names of hosts, or
// [Controller]). Nobody is told: connections just hear nothing more.
func (h *Host) Cut(ctx context.Context, peers ...string) error {
	return h.wires(ctx, "", peers)
}

// Heal undoes Cut with the same peers.
func (h *Host) Heal(ctx context.Context, peers ...string) error {
	return h.wires(ctx, "delete", peers)
}

func (h *Host) wires(ctx context.Context, then string, peers []string) error {
	set, elements := "cut", h.Addr.String()
	if len(peers) > 0 {
		var pairs []string
		for _, p := range peers {
			a, err := h.lab.addr(p)
			if err != nil {
				return err
			}
			pairs = append(pairs, fmt.Sprintf("%s . %s, %s . %s", h.Addr, a, a, h.Addr))
		}
		set, elements = "cutpair", strings.Join(pairs, ", ")
	}
	commands := fmt.Sprintf("add element bridge lab %s { %s }\n", set, elements)
	if then == "delete" { // only what was added can be deleted
		commands += fmt.Sprintf("delete element bridge lab %s { %s }\n", set, elements)
	}
	return h.lab.nft(ctx, commands)
}

// HealAll undoes every Cut of the lab.
func (l *Lab) HealAll(ctx context.Context) error {
	return l.nft(ctx, "flush set bridge lab cut\nflush set bridge lab cutpair\n")
}

// Counter is what crossed the switch in one direction since the start or the last reset.
type Counter struct {
	From, To string
	Packets  int64
	Bytes    int64 // of IP packets: headers and retransmissions included
}

// Counters returns one Counter for each direction of each pair that spoke.
func (l *Lab) Counters(ctx context.Context) ([]Counter, error) {
	out, err := run(ctx, "", "ip", "netns", "exec", l.switchName(), tool("nft"), "-j", "list", "set", "bridge", "lab", "link")
	if err != nil {
		return nil, err
	}
	return l.parseCounters([]byte(out))
}

func (l *Lab) parseCounters(b []byte) ([]Counter, error) {
	var reply struct {
		Nftables []struct {
			Set struct {
				Elem []struct {
					Elem struct {
						Val     struct{ Concat []netip.Addr }
						Counter struct{ Packets, Bytes int64 }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(b, &reply); err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	var all []Counter
	for _, o := range reply.Nftables {
		for _, e := range o.Set.Elem {
			if len(e.Elem.Val.Concat) != 2 {
				return nil, errors.New("read counters: an element is no pair of addresses")
			}
			c := Counter{From: l.name(e.Elem.Val.Concat[0]), To: l.name(e.Elem.Val.Concat[1]), Packets: e.Elem.Counter.Packets, Bytes: e.Elem.Counter.Bytes}
			if c.From != "" && c.To != "" { // multicast is nobody's
				all = append(all, c)
			}
		}
	}
	return all, nil
}

// Sent is the number of bytes from one host (or [Controller]) to another, or to all others if to is "".
func (l *Lab) Sent(ctx context.Context, from, to string) (int64, error) {
	all, err := l.Counters(ctx)
	var sum int64
	for _, c := range all {
		if c.From == from && (to == "" || c.To == to) {
			sum += c.Bytes
		}
	}
	return sum, err
}

// ResetCounters sets all counters to zero.
func (l *Lab) ResetCounters(ctx context.Context) error {
	return l.nft(ctx, "flush set bridge lab link\n")
}
