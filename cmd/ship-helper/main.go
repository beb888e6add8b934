// Command ship-helper is the part of ship that runs on hosts, and nothing else: small, since a host that lacks it has to
// be sent it first. The whole program does the same under this name. See package transfer/helper.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"ship/transfer/helper"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	signal.Ignore(syscall.SIGPIPE) // a controller that is gone shall not keep us from clearing up
	if err := helper.Command(ctx, os.Args[1:], helper.Stdin(), helper.Stdout(), os.Getenv); err != nil {
		fmt.Fprintln(os.Stderr, "ship helper:", err)
		return 1
	}
	return 0
}
