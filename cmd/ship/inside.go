package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"ship/proxy"
)

// Where the proxy keeps things inside its container.
const (
	proxySocket = "/run/control.sock"
	proxyState  = "/state"
)

// runInside are the two commands that only run inside the proxy's container: "run" is its process, "control" joins
// standard input and output to its control socket, for `docker exec`.
func runInside(ctx context.Context, what string, args []string) int {
	var err error
	if what == "control" {
		err = proxy.Control(ctx, proxySocket, os.Stdin, os.Stdout)
	} else {
		err = runProxy(ctx, args)
	}
	if err != nil && !errors.Is(err, context.Canceled) && ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "ship proxy %s: %v\n", what, err)
		return codeFailed
	}
	return 0
}

func runProxy(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("proxy run", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	port := fs.Int("http-port", 80, "")
	socket := fs.String("socket", proxySocket, "")
	state := fs.String("state", proxyState, "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	return proxy.Run(ctx, proxy.Options{
		HTTPAddr: fmt.Sprintf(":%d", *port), Socket: *socket, StateDir: *state, AccessLog: os.Stdout,
		Log: slog.New(slog.NewJSONHandler(os.Stderr, nil)), Version: version(),
	})
}
