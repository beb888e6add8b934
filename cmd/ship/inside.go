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
	"os/exec"
	"syscall"

	"ship/proxy"
)

// Where the proxy keeps things inside its container.
const (
	proxyState  = "/state"
	proxySocket = proxyState + "/control.sock" // the volume's: a proxy and its successor are in two containers
	spareSocket = "/run/control.sock"          // when the volume is full
)

// runInside are the commands that only run inside the proxy's container: "run" is its first process, "work" the one that
// serves, "control" joins standard input and output to the control socket, for `docker exec`.
func runInside(ctx context.Context, what string, args []string) int {
	var err error
	switch what {
	case "control":
		for _, path := range []string{proxySocket, spareSocket} {
			err = proxy.Control(ctx, path, os.Stdin, os.Stdout)
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
				break
			}
		}
	case "work":
		err = workProxy(ctx, args)
	default:
		err = runProxy(ctx, args)
	}
	if err != nil && !errors.Is(err, context.Canceled) && ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "ship proxy %s: %v\n", what, err)
		return codeFailed
	}
	return 0
}

// isInside tells the words of such a command.
func isInside(args []string) bool {
	return len(args) >= 2 && args[0] == "proxy" && (args[1] == "run" || args[1] == "work" || args[1] == "control")
}

// runProxy holds the proxy's sockets while a process of its own serves.
func runProxy(ctx context.Context, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return proxy.Guard(ctx, func() *exec.Cmd {
		cmd := exec.Command(self, append([]string{"proxy", "work"}, args...)...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return cmd
	}, proxyLog())
}

func proxyLog() *slog.Logger { return slog.New(slog.NewJSONHandler(os.Stderr, nil)) }

func workProxy(ctx context.Context, args []string) error {
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
		HTTPAddr: fmt.Sprintf(":%d", *port), Socket: *socket, Spare: spareSocket, StateDir: *state, Instance: *instance,
		Master: os.NewFile(proxy.WorkerFile, "master"), AccessLog: os.Stdout, Log: proxyLog(), Version: version(),
	})
}
