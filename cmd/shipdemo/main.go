//go:build linux

// Command shipdemo shows ship at work: it makes three hosts on this machine, deploys a web site to them, replaces it
// under load, tries a release that never becomes healthy, and rolls back. It ends with a table of what it saw, and with
// status 1 if ship broke a promise.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"ship/internal/shiptest/lab"
)

func main() {
	lab.Init()
	ship := flag.String("ship", "", "the ship to show (default: the one beside this program)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, *ship)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "shipdemo: interrupted; the lab is gone")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "shipdemo:", err)
		os.Exit(1)
	}
}

// errBroken ends a demo in which a promise was broken. The table says which.
var errBroken = errors.New("a promise was broken: see the last column")

func run(ctx context.Context, ship string) (err error) {
	if ship == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		ship = filepath.Join(filepath.Dir(self), "ship")
	}
	if ship, err = filepath.Abs(ship); err != nil {
		return err
	}
	if _, err := os.Stat(ship); err != nil {
		return fmt.Errorf("no ship to show: %w", err)
	}
	dir, err := os.MkdirTemp("", "shipdemo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	d := &demo{ship: ship, dir: dir, out: os.Stdout}
	if err := d.build(ctx); err != nil {
		return err
	}
	d.heading("Three hosts, with sshd and Docker 20.10, 26.1 (containerd image store) and 28.5")
	d.lab, err = lab.Up(ctx, lab.Options{Log: os.Stdout, Hosts: []lab.HostOptions{
		{Engine: "bookworm"}, {Engine: "trixie", ContainerdStore: true}, {Engine: "sid"},
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.lab.Close()) }()
	return d.show(ctx)
}
