package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"syscall"

	"ship/proxy"
)

// Where the proxy keeps things inside its container.
const (
	proxyState  = "/state"
	proxySocket = proxyState + "/control.sock" // the volume's: a proxy and its successor are in two containers
	spareSocket = "/run/control.sock"          // when the volume is full
)

// runInside are the two commands that only run inside the proxy's container: "run" is its process, "control" joins
// standard input and output to its control socket, for `docker exec`.
func runInside(ctx context.Context, what string, args []string) int {
	var err error
	if what == "control" {
		for _, path := range []string{proxySocket, spareSocket} {
			err = proxy.Control(ctx, path, os.Stdin, os.Stdout)
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
				break
			}
		}
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
	flags := flag.NewFlagSet("proxy run", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	port := flags.Int("http-port", 80, "")
	socket := flags.String("socket", proxySocket, "")
	state := flags.String("state", proxyState, "")
	instance := flags.String("instance", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return proxy.Run(ctx, proxy.Options{
		HTTPAddr: fmt.Sprintf(":%d", *port), Socket: *socket, Spare: spareSocket, StateDir: *state, Instance: *instance, AccessLog: os.Stdout,
		Log: slog.New(slog.NewJSONHandler(os.Stderr, nil)), Version: version(),
	})
}
