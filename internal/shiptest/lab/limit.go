//go:build linux

package lab

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Rate is bits per second; 0 is no limit.
type Rate int64

// Mbit is a million bits per second.
const Mbit Rate = 1_000_000

// ParseRate reads "100mbit", "64kbit", "1gbit" (powers of 1000).
func ParseRate(s string) (Rate, error) {
	for suffix, unit := range map[string]Rate{"kbit": Mbit / 1000, "mbit": Mbit, "gbit": Mbit * 1000} {
		digits, ok := strings.CutSuffix(s, suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 20)
		if err == nil && n > 0 {
			return Rate(n) * unit, nil
		}
	}
	return 0, fmt.Errorf("rate %q: want a number with kbit, mbit or gbit", s)
}

// Limit bounds what the host may send (up) and receive (down). It holds until the next Limit or power cycle.
func (h *Host) Limit(ctx context.Context, up, down Rate) error {
	pid, err := h.running()
	if err != nil {
		return err
	}
	inside := []string{"-t", strconv.Itoa(pid), "-n", tool("tc")}
	if err := shape(ctx, "nsenter", inside, "eth0", up); err != nil {
		return err
	}
	return h.lab.shapePort(ctx, h.Name, down)
}

// Limit bounds what the controller may send (up) and receive (down), to and from all hosts together.
func (l *Lab) Limit(ctx context.Context, up, down Rate) error {
	if err := shape(ctx, "tc", nil, l.ID+"-ctl", up); err != nil {
		return err
	}
	return l.shapePort(ctx, Controller, down)
}

// shapePort bounds what the switch sends out of a port.
func (l *Lab) shapePort(ctx context.Context, port string, r Rate) error {
	return shape(ctx, "tc", []string{"-n", l.switchName()}, port, r)
}

// shape sets the token bucket of a link, or takes it away for rate 0. The prefix leads tc to the link's namespace.
func shape(ctx context.Context, name string, prefix []string, dev string, r Rate) error {
	tc := func(args ...string) error {
		_, err := run(ctx, "", name, append(append([]string{}, prefix...), args...)...)
		return err
	}
	if r > 0 {
		return tc("qdisc", "replace", "dev", dev, "root", "tbf", "rate", fmt.Sprintf("%dbit", r), "burst", "128kb", "latency", "100ms")
	}
	// A link without a bucket has the kernel's default, which cannot be deleted: replace it first.
	if err := tc("qdisc", "replace", "dev", dev, "root", "pfifo"); err != nil {
		return err
	}
	return tc("qdisc", "del", "dev", dev, "root")
}
