//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"ship/internal/shiptest/lab"
)

// fleet is how many hosts the figures that want several are measured on.
const fleet = 6

// figure is a goal of the transfer: what was measured, beside its bound.
type figure struct{ name, measured, goal string }

func (r *rig) note(f figure) {
	r.report.figures = append(r.report.figures, f)
	fmt.Fprintf(os.Stderr, "%s: %s (goal %s)\n", f.name, f.measured, f.goal)
}

// measureFigures holds ship against the bounds. A figure that cannot be measured is noted; the others go on.
func (r *rig) measureFigures(ctx context.Context) error {
	var errs []error
	all := []func(context.Context) error{r.egress, r.makespan, r.resume}
	if r.only == "egress" {
		all = all[:1]
	}
	for _, of := range all {
		errs = append(errs, of(ctx), r.unlimit(ctx))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return errors.Join(errs...)
}

// fromLayout is the contender that sends layers as they are, so that the bytes of one copy are known.
func fromLayout() contender { return contenders()[1] }

// names are those of the first n hosts behind the controller.
func (r *rig) names(n int) []string {
	var names []string
	for _, h := range r.lab.Hosts[1 : 1+n] {
		names = append(names, h.Name)
	}
	return names
}

// egress compares what the controller sends with one copy of the image.
func (r *rig) egress(ctx context.Context) error {
	sizes := slices.Compact(slices.Sorted(slices.Values(append([]int{1, 3, fleet}, r.options.hosts...))))
	for _, placed := range []bool{false, true} {
		for _, n := range sizes {
			if !placed && n != 1 && n != fleet {
				continue
			}
			if err := r.forget(ctx); err != nil {
				return err
			}
			if !placed {
				if err := r.unplace(ctx); err != nil {
					return err
				}
			}
			m, err := r.push(ctx, fromLayout(), "a", r.names(n))
			if err != nil {
				return fmt.Errorf("egress, %d hosts: %w", n, err)
			}
			bound := 1.02*float64(r.size) + float64(n)*65536
			helper := "helper placed"
			if !placed {
				helper = "nothing placed"
			}
			r.note(figure{
				fmt.Sprintf("controller egress, first push, %d hosts, %s", n, helper),
				fmt.Sprintf("%.2f MB, %.3f of the bound", float64(m.bytes)/1e6, float64(m.bytes)/bound), "≤ 1",
			})
		}
	}
	m, err := r.push(ctx, fromLayout(), "a", r.names(fleet))
	if err == nil {
		r.note(figure{fmt.Sprintf("no change, %d hosts", fleet), fmt.Sprintf("%.1f s, %.1f KB a host", m.seconds, float64(m.bytes)/1024/fleet), "≤ 1 s, ≤ 32 KB"})
	}
	return err
}

// unplace takes the helpers away from the hosts.
func (r *rig) unplace(ctx context.Context) error {
	for _, h := range r.lab.Hosts[1:] {
		if _, err := h.Exec(ctx, "rm -rf /root/.cache/ship"); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) unlimit(ctx context.Context) error {
	errs := []error{r.lab.HealAll(ctx)}
	for _, h := range r.lab.Hosts {
		errs = append(errs, h.Limit(ctx, 0, 0))
	}
	return errors.Join(errs...)
}

// makespan compares a push to the fleet with what the line and one host's engine need, then disturbs one host and
// looks at the others.
func (r *rig) makespan(ctx context.Context) error {
	const uplink = 100 * lab.Mbit
	if err := r.forget(ctx); err != nil {
		return err
	}
	load, err := r.load(ctx, 1)
	if err != nil {
		return err
	}
	if err := r.forget(ctx); err != nil {
		return err
	}
	together, err := r.load(ctx, fleet)
	if err != nil {
		return err
	}
	for _, h := range r.lab.Hosts[1:] {
		if err := h.Limit(ctx, 1000*lab.Mbit, 1000*lab.Mbit); err != nil {
			return err
		}
	}
	if err := r.controller().Limit(ctx, uplink, 0); err != nil {
		return err
	}
	whole, err := r.others(ctx, func() error { return nil })
	if err != nil {
		return err
	}
	line := float64(r.size) * 8 / float64(uplink)
	r.note(figure{
		fmt.Sprintf("makespan, 100 Mbit/s, %d hosts", fleet),
		fmt.Sprintf("%.1f s, %.2f of bytes/uplink + load alone (%.1f s), %.2f of bytes/uplink + all loads at once (%.1f s)", whole, whole/(line+load), line+load, whole/(line+together), line+together),
		"≤ 1.05 of the first",
	})

	last := r.lab.Hosts[fleet]
	slow, err := r.others(ctx, func() error { return last.Limit(ctx, 30*lab.Mbit, 30*lab.Mbit) })
	if err != nil {
		return err
	}
	r.note(figure{"one slow host among 6: the others", fmt.Sprintf("%.1f s, %.2f of undisturbed", slow, slow/whole), "≤ 1.1"})
	if err := last.Limit(ctx, 1000*lab.Mbit, 1000*lab.Mbit); err != nil {
		return err
	}
	dead, err := r.others(ctx, func() error {
		timer := time.NewTimer(time.Duration(whole / 4 * float64(time.Second)))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		return last.Cut(ctx)
	})
	if err != nil {
		return err
	}
	r.note(figure{"one silently dead host among 6: the others", fmt.Sprintf("%.1f s, %.2f of undisturbed", dead, dead/whole), "≤ 1.1"})
	return nil
}

// load is how many seconds the first n hosts' engines take to load the image at once, each from a file of its own. On a
// machine with fewer processors than hosts, the engines share them here as they do in a push.
func (r *rig) load(ctx context.Context, n int) (float64, error) {
	const file = "/var/tmp/alone.tar"
	for _, name := range r.names(n) {
		if _, err := r.controller().Exec(ctx, "docker save "+repository+":a | ssh "+name+" 'cat >"+file+"'"); err != nil {
			return 0, err
		}
	}
	begin := time.Now()
	var loads errgroup.Group
	for _, h := range r.lab.Hosts[1 : 1+n] {
		loads.Go(func() error {
			_, err := h.Exec(ctx, "docker load -q <"+file)
			return err
		})
	}
	err := loads.Wait()
	seconds := time.Since(begin).Seconds()
	for _, h := range r.lab.Hosts[1 : 1+n] {
		_, rerr := h.Exec(ctx, "rm -f "+file)
		err = errors.Join(err, rerr)
	}
	return seconds, err
}

// others pushes to the fleet, disturbs meanwhile, and returns after how many seconds all but the last host had the
// image.
func (r *rig) others(ctx context.Context, disturb func() error) (float64, error) {
	if err := r.forget(ctx); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, stepTimeout, errors.New("took too long"))
	defer cancel()
	names := r.names(fleet)
	script := strings.Replace(fromLayout().script("a", names), "--quiet", "--json", 1)
	cmd := r.controller().Command(ctx, "/bin/bash", "-c", script)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	disturbed := disturb()
	_ = cmd.Wait() // the disturbed host may fail; whether the others have it is read below
	return lastArrival(out.String(), names[:fleet-1], begin, disturbed)
}

// lastArrival reads from ship's events when the last of the hosts had the image.
func lastArrival(events string, hosts []string, begin time.Time, err error) (float64, error) {
	there := map[string]float64{}
	for line := range strings.Lines(events) {
		var e struct {
			Type, Host, Text string
			Time             time.Time
		}
		if json.Unmarshal([]byte(line), &e) == nil && strings.HasPrefix(e.Text, "image is there") {
			there[e.Host] = e.Time.Sub(begin).Seconds()
		}
	}
	last := 0.0
	for _, h := range hosts {
		s, ok := there[h]
		if !ok {
			err = errors.Join(err, fmt.Errorf("%s did not get the image", h))
		}
		last = max(last, s)
	}
	return last, err
}

// resume kills a push at half of its bytes and counts those of the next one.
func (r *rig) resume(ctx context.Context) error {
	if err := r.forget(ctx); err != nil {
		return err
	}
	if err := r.controller().Limit(ctx, 100*lab.Mbit, 0); err != nil {
		return err
	}
	before, err := r.lab.Sent(ctx, r.controller().Name, "")
	if err != nil {
		return err
	}
	cmd := r.controller().Command(ctx, "/bin/bash", "-c", "exec env "+fromLayout().script("a", r.names(1)))
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := r.killAt(ctx, cmd, before+r.size/2); err != nil {
		return err
	}
	m, err := r.push(ctx, fromLayout(), "a", r.names(1))
	if err != nil {
		return fmt.Errorf("after a kill: %w", err)
	}
	r.note(figure{"killed at 50 % and run again: second run", fmt.Sprintf("%.0f %% of the bytes", 100*float64(m.bytes)/float64(r.size)), "≤ 55 %"})
	return nil
}

// killAt kills the push once the controller has sent so many bytes.
func (r *rig) killAt(ctx context.Context, cmd *exec.Cmd, bytes int64) error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	kill := func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		<-ended                                             // by a signal, as just sent
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("the push to be killed ended before: %w", errors.Join(err, context.Cause(ctx)))
		case <-tick.C:
		}
		sent, err := r.lab.Sent(ctx, r.controller().Name, "")
		if err != nil || sent >= bytes {
			kill()
			return err
		}
	}
}
