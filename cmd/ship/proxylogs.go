package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"ship/internal/docker"
	"ship/orchestrate"
)

// ProxyLogsCmd shows the proxies' logs.
type ProxyLogsCmd struct {
	Lines  int    `short:"n" default:"50" help:"Lines of each proxy."`
	Follow bool   `short:"f" help:"Go on as lines come."`
	Since  string `placeholder:"TIME" help:"Only what is younger: 10m, or 2026-01-02T15:04:05."`
}

// Run is the command.
func (c *ProxyLogsCmd) Run(ctx context.Context, d *deps) error {
	return d.withHosts(ctx, func(s *session) error {
		var from []logFrom
		for _, h := range s.fleet.Hosts {
			from = append(from, logFrom{h, orchestrate.ProxyName, h.Name + " | "})
		}
		o := docker.LogOptions{Tail: c.Lines, Follow: c.Follow, Since: c.Since}
		if !c.Follow {
			return d.copyLogs(ctx, from, o)
		}
		return d.showLogs(ctx, from, func(ctx context.Context, f logFrom, line func(string)) error { return followProxy(ctx, f, o, line) })
	})
}

// successorPause is how often it is looked whether a host has another proxy.
const successorPause = time.Second

// followProxy follows a host's proxy, and after an upgrade its successor too: the old one may have requests for a while,
// and both tell of theirs. It ends when none of them runs any more, or one cannot be read.
func followProxy(ctx context.Context, f logFrom, o docker.LogOptions, line func(string)) error {
	ctx, stop := context.WithCancel(ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer stop()
	ended := make(chan error)
	open, seen := 0, map[string]bool{}
	tick := time.NewTicker(successorPause)
	defer tick.Stop()
	for {
		c, err := f.host.Engine.InspectContainer(ctx, f.container)
		switch {
		case err != nil && (len(seen) == 0 || !errors.Is(err, docker.ErrNotFound)):
			return err
		case err == nil && !seen[c.ID]:
			one, options := f, o
			one.container, seen[c.ID] = c.ID, true
			open++
			reading.Go(func() {
				err := copyLog(ctx, one, options, line)
				select {
				case ended <- err:
				case <-ctx.Done():
				}
			})
			o.Tail, o.Since = 0, "" // a successor's log is new as a whole
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			if open--; err != nil || open == 0 && !succeeded(ctx, f, seen) {
				return err
			}
		case <-tick.C:
		}
	}
}

// succeeded tells whether there is a proxy that is not followed yet.
func succeeded(ctx context.Context, f logFrom, seen map[string]bool) bool {
	c, err := f.host.Engine.InspectContainer(ctx, f.container)
	return err == nil && !seen[c.ID]
}
