// Command ship-proxy is the proxy that runs on hosts, and nothing else: small, and another program only when something of
// the proxy changed. The whole program does the same under this name. See package proxy.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"ship/proxy"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return proxy.Command(ctx, os.Args[1:])
}
