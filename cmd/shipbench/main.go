//go:build linux

// Command shipbench measures how long ship takes to bring a large image to hosts, against the ways that people use
// without a registry service: docker save through ssh, and docker pull from a registry on the controller that the
// hosts reach through ssh -R. All run in one lab, on the same image, one after another.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"ship/internal/shiptest/lab"
)

func main() {
	lab.Init()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) == 3 && os.Args[1] == "registry" { // inside the controller
		var l net.Listener
		if l, err = net.Listen("tcp", registryAddr); err == nil {
			err = serveRegistry(ctx, l, os.Args[2])
		}
	} else {
		err = bench(ctx)
	}
	switch {
	case ctx.Err() != nil:
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "shipbench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	ship  string
	quick bool
	only  string     // "figures", of these "egress", or "peers"; "" is all
	hosts []int      // how many hosts to push to, in turn
	rates []lab.Rate // of the controller's uplink, in turn; 0 is no limit
}

func readFlags() (options, error) {
	var o options
	hosts, rates := "", ""
	flag.StringVar(&o.ship, "ship", "", "the ship to measure (default: the one beside this program)")
	flag.BoolVar(&o.quick, "quick", false, "an image of a quarter of the size")
	flag.StringVar(&hosts, "hosts", "1,3", "push to so many hosts")
	flag.StringVar(&rates, "rates", "none,100mbit", "limits of the controller's uplink")
	flag.StringVar(&o.only, "only", "", "measure only the figures, of these only the egress, or only against the peers")
	flag.Parse()
	if !slices.Contains([]string{"", "figures", "egress", "peers"}, o.only) {
		return o, fmt.Errorf("-only %s: want figures, egress or peers", o.only)
	}
	if o.ship == "" {
		self, err := os.Executable()
		if err != nil {
			return o, err
		}
		o.ship = filepath.Join(filepath.Dir(self), "ship")
	}
	for s := range strings.SplitSeq(hosts, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 20 {
			return o, fmt.Errorf("-hosts %s: want numbers from 1 to 20", hosts)
		}
		o.hosts = append(o.hosts, n)
	}
	for s := range strings.SplitSeq(rates, ",") {
		r := lab.Rate(0)
		if s != "none" {
			var err error
			if r, err = lab.ParseRate(s); err != nil {
				return o, err
			}
		}
		o.rates = append(o.rates, r)
	}
	return o, nil
}

func bench(ctx context.Context) (err error) {
	o, err := readFlags()
	if err != nil {
		return err
	}
	r, err := setUp(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	fmt.Fprintln(os.Stderr, r.image)
	if o.only != "peers" {
		err = r.measureFigures(ctx)
	}
	if (o.only == "" || o.only == "peers") && ctx.Err() == nil {
		err = errors.Join(err, r.measure(ctx))
	}
	r.report.print(os.Stdout)
	return err
}
