//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"ship/internal/shiptest/lab"
)

// stepTimeout bounds one push.
const stepTimeout = 15 * time.Minute

// pushes are what is measured, in this order, from hosts that hold nothing: the tag that is pushed, and the case.
func pushes() []struct{ name, tag string } {
	return []struct{ name, tag string }{
		{"a first push", "a"}, {"b small layer changed", "b"}, {"c 1 % of 150 MB changed", "c"}, {"d nothing changed", "c"},
	}
}

// measure runs all contenders under all conditions. The order of the contenders rotates, so that none always runs on
// a machine that others have warmed. A contender that fails is noted; the others go on.
func (r *rig) measure(ctx context.Context) error {
	var errs []error
	turn := 0
	for _, rate := range r.rates {
		if err := r.controller().Limit(ctx, rate, 0); err != nil {
			return err
		}
		for _, n := range r.hosts {
			all := contenders()
			for i := range all {
				c := (i + turn) % len(all)
				errs = append(errs, r.compete(ctx, all[c], c, rate, n))
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
			}
			turn++
		}
	}
	return errors.Join(errs...)
}

// compete measures all pushes of a contender, number c, to n hosts.
func (r *rig) compete(ctx context.Context, who contender, c int, rate lab.Rate, n int) error {
	var hosts []string
	for _, h := range r.lab.Hosts[1 : 1+n] {
		hosts = append(hosts, h.Name)
	}
	if err := r.forget(ctx); err != nil {
		return err
	}
	for _, p := range pushes() {
		m, err := r.push(ctx, who, p.tag, hosts)
		if err != nil {
			return fmt.Errorf("%s, %s, %d hosts: %w", who.name, p.name, n, err)
		}
		r.report.add(condition{rate, n, p.name}, c, m)
		fmt.Fprintf(os.Stderr, "%s, %d hosts, %s, %s: %s\n", rateName(rate), n, p.name, who.name, m)
	}
	return nil
}

// forget makes hosts and controller as if nobody had pushed yet.
func (r *rig) forget(ctx context.Context) error {
	for _, h := range r.lab.Hosts[1:] {
		if _, err := h.Exec(ctx, "docker images -aq | sort -u | xargs -r docker rmi -f >/dev/null; docker builder prune -af >/dev/null 2>&1; rm -rf /root/.cache/ship/chunks"); err != nil {
			return err
		}
	}
	_, err := r.controller().Exec(ctx, "rm -rf "+shipCache+"; sync")
	return err
}

// push runs one push and counts.
func (r *rig) push(ctx context.Context, who contender, tag string, hosts []string) (measurement, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, stepTimeout, errors.New("took too long"))
	defer cancel()
	cpu, err := r.cpu(ctx)
	if err != nil {
		return measurement{}, err
	}
	sent, err := r.lab.Sent(ctx, r.controller().Name, "")
	if err != nil {
		return measurement{}, err
	}
	begin := time.Now()
	out, err := r.controller().Command(ctx, "/bin/bash", "-c", who.script(tag, hosts)).CombinedOutput()
	m := measurement{seconds: time.Since(begin).Seconds()}
	if err != nil {
		return m, fmt.Errorf("%w: %s", err, out)
	}
	after, err := r.lab.Sent(ctx, r.controller().Name, "")
	if err != nil {
		return m, err
	}
	cpuAfter, err := r.cpu(ctx)
	if err != nil {
		return m, err
	}
	m.bytes, m.cpu = after-sent, (cpuAfter - cpu).Seconds()
	return m, r.check(ctx, who.ref(tag), r.ids[tag], hosts)
}

// check sees to it that the hosts have the image.
func (r *rig) check(ctx context.Context, ref, id string, hosts []string) error {
	for _, name := range hosts {
		got, err := r.lab.Host(name).Exec(ctx, "docker image inspect -f '{{.Id}}' "+ref)
		if err != nil {
			return err
		}
		if strings.TrimSpace(got) != id {
			return fmt.Errorf("%s has %s, want %s", name, strings.TrimSpace(got), id)
		}
	}
	return nil
}

// cpu is the time that all processes of the controller have computed, its engine's included.
func (r *rig) cpu(ctx context.Context) (time.Duration, error) {
	out, err := r.controller().Exec(ctx, "cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null || sed -n 's/^usage_usec \\(.*\\)/\\1000/p' /sys/fs/cgroup/cpu.stat")
	if err != nil {
		return 0, err
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	return time.Duration(ns), err
}
