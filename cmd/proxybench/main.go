//go:build linux

// Command proxybench measures what ship's proxy costs beside others: processor time per request, requests per second,
// memory of an idle connection. Each proxy has one processor, the app and the clients have the others; the runs of all
// proxies alternate, and a ratio compares two runs of one round.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"ship/internal/shiptest/machine"
	"ship/internal/shiptest/module"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) == 2 && os.Args[1] == "app" {
		err = serveApp(ctx)
	} else {
		err = bench(ctx)
	}
	switch {
	case ctx.Err() != nil:
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "proxybench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	proxy  string // ship-proxy
	kamal  string // kamal-proxy; "" = it is built, "none" = without it
	rounds int
	length time.Duration // of one run
	only   string        // part of a case's name
}

// kamal is what ship's proxy is compared with first of all.
var kamal = module.Program{Module: "github.com/basecamp/kamal-proxy", Version: "v0.9.2", Package: "./cmd/kamal-proxy"}

func bench(ctx context.Context) error {
	var o options
	flag.StringVar(&o.proxy, "proxy", "bin/ship-proxy", "the ship-proxy to measure")
	flag.StringVar(&o.kamal, "kamal-proxy", "", "a kamal-proxy to compare with (default: "+kamal.Version+", built from its module); none: without it")
	flag.IntVar(&o.rounds, "rounds", 5, "runs of each proxy in each case")
	flag.DurationVar(&o.length, "length", 3*time.Second, "of a run")
	flag.StringVar(&o.only, "only", "", "only the cases whose name has this in it")
	flag.Parse()
	if flag.NArg() > 0 || o.rounds < 1 || o.length < time.Second {
		return fmt.Errorf("unexpected argument, no round, or a run of less than a second: see -help")
	}
	if o.kamal == "" {
		var err error
		if o.kamal, err = module.Build(ctx, kamal); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "proxybench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r, err := newRig(ctx, dir, o)
	if err != nil {
		return err
	}
	defer r.close()
	fmt.Printf("%s; each proxy on the first, app and clients on the others.\n", machine.String())
	for _, c := range cases {
		if !strings.Contains(c.name, o.only) {
			continue
		}
		if err := r.measure(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	if strings.Contains("idle connection", o.only) {
		return r.measureIdle(ctx)
	}
	return nil
}
