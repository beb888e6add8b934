//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"time"
)

// measure runs one case in rounds, and prints its table.
func (r *rig) measure(ctx context.Context, l loadCase) error {
	runs := make([][]run, len(r.all))
	for _, c := range r.all {
		if err := r.deploy(ctx, c, l.secure); err != nil {
			return err
		}
		if _, err := c.load(ctx, l, time.Second); err != nil { // warms it up
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for round := range r.options.rounds {
		fmt.Fprintf(os.Stderr, "%s: round %d of %d\n", l.name, round+1, r.options.rounds)
		for i, c := range r.all {
			one, err := c.load(ctx, l, r.options.length)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			runs[i] = append(runs[i], one)
		}
	}
	base := r.base()
	fmt.Printf("\n%s\n\n| proxy | requests/s | × %s | CPU µs a request | %s's / this | p99 |\n|---|---|---|---|---|---|\n", l.name, r.all[base].name, r.all[base].name)
	for i, c := range r.all {
		rate := median(runs[i], func(n int) float64 { return runs[i][n].rate })
		cost := median(runs[i], func(n int) float64 { return runs[i][n].cost })
		p99 := median(runs[i], func(n int) float64 { return float64(runs[i][n].p99) })
		faster := median(runs[i], func(n int) float64 { return runs[i][n].rate / runs[base][n].rate })
		cheaper := median(runs[i], func(n int) float64 { return runs[base][n].cost / runs[i][n].cost })
		fmt.Printf("| %s | %.0f | %.2f | %.1f | %.2f | %s |\n", c.name, rate, faster, cost, cheaper, time.Duration(p99).Round(10*time.Microsecond))
	}
	return nil
}

// base is what the others are compared with: kamal-proxy, or the last one.
func (r *rig) base() int {
	for i, c := range r.all {
		if c.name == "kamal-proxy" {
			return i
		}
	}
	return len(r.all) - 1
}

func median(runs []run, of func(int) float64) float64 {
	var v []float64
	for n := range runs {
		v = append(v, of(n))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// idleConns is how many connections wait at once.
const idleConns = 2000

// measureIdle measures what a connection takes that has had one answer and waits.
func (r *rig) measureIdle(ctx context.Context) error {
	fmt.Printf("\nMemory of an idle connection, %d of them\n\n| proxy | KB |\n|---|---|\n", idleConns)
	for _, c := range r.all {
		if err := r.deploy(ctx, c, false); err != nil {
			return err
		}
		before, err := accountOf(c.running.Process.Pid)
		if err != nil {
			return err
		}
		err = c.hold(ctx, func() error {
			after, err := accountOf(c.running.Process.Pid)
			if err == nil {
				fmt.Printf("| %s | %.1f |\n", c.name, float64(after.memory-before.memory)/idleConns/1024)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: idle connections: %w", c.name, err)
		}
	}
	return nil
}

// hold opens the connections, has one answer on each, and keeps them while it calls look.
func (c *contender) hold(ctx context.Context, look func() error) (err error) {
	var open []net.Conn
	defer func() {
		for _, nc := range open {
			err = errors.Join(err, nc.Close())
		}
	}()
	var d net.Dialer
	for range idleConns {
		nc, err := d.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", c.port))
		if err != nil {
			return err
		}
		open = append(open, nc)
		if _, err := fmt.Fprintf(nc, "GET /16 HTTP/1.1\r\nHost: %s\r\n\r\n", host); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
	}
	return look()
}
