//go:build linux

// Command proxysoak replaces what serves, again and again, under a load of every kind, and accounts for each request that
// failed: cutovers, undos and upgrades of the proxy, none of which may lose any; then kills of one of two replicas, which may
// lose nothing that can be sent twice; then kills of the proxy, which may break what is in flight but must refuse nobody.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	switch {
	case ctx.Err() != nil:
		os.Exit(130)
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "proxysoak:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	proxy    string // ship-proxy
	cutovers int
	upgrades int
	kills    int
	slow     time.Duration // of a slow request
	grace    time.Duration // for what is with a target that was replaced
	workers  int
}

func run(ctx context.Context, args []string) error {
	var o options
	flags := flag.NewFlagSet("proxysoak", flag.ContinueOnError)
	flags.StringVar(&o.proxy, "proxy", "bin/ship-proxy", "the ship-proxy to run")
	flags.IntVar(&o.cutovers, "cutovers", 100, "how often another release takes over; every tenth is undone first")
	flags.IntVar(&o.upgrades, "upgrades", 20, "how often another proxy takes over meanwhile")
	flags.IntVar(&o.kills, "kills", 20, "how often a replica is killed, and then how often the proxy is, after that")
	flags.DurationVar(&o.slow, "slow", 12*time.Second, "how long a slow request takes")
	flags.DurationVar(&o.grace, "grace", 15*time.Second, "after which what is left with a replaced release is ended")
	flags.IntVar(&o.workers, "workers", 4, "clients of each kind")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || o.cutovers < 1 || o.upgrades < 0 || o.kills < 0 || o.workers < 1 || o.grace <= o.slow {
		return errors.New("unexpected argument, nothing to do, or a grace shorter than a slow request: see -help")
	}
	dir, err := os.MkdirTemp("", "proxysoak")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := newSoak(ctx, dir, o)
	if err != nil {
		return err
	}
	defer s.close()
	return errors.Join(s.replace(ctx), s.lose(ctx), s.kill(ctx))
}
