package proxy

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
	"runtime/debug"
	"syscall"
)

// Where the proxy keeps things inside its container.
const (
	containerState  = "/state"
	containerSocket = containerState + "/control.sock" // the volume's: a proxy and its successor are in two containers
	spareSocket     = "/run/control.sock"              // when the volume is full
)

// IsCommand tells whether a command line is for Command.
func IsCommand(args []string) bool {
	return len(args) >= 2 && args[0] == "proxy" && (args[1] == "run" || args[1] == "work" || args[1] == "control")
}

// Command runs what is only run inside the proxy's container, and returns the exit code: "proxy run" is its first process,
// which holds the sockets; "proxy work" the one that serves; "proxy control" joins standard input and output to the control
// socket, for `docker exec`.
func Command(ctx context.Context, args []string) int {
	if !IsCommand(args) {
		fmt.Fprintln(os.Stderr, "ship-proxy: proxy run, proxy work, or proxy control")
		return 2
	}
	var err error
	switch args[1] {
	case "control":
		for _, path := range []string{containerSocket, spareSocket} {
			err = Control(ctx, path, os.Stdin, os.Stdout)
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
				break
			}
		}
	case "work":
		err = work(ctx, args[2:])
	default:
		err = hold(ctx, args[2:])
	}
	if err != nil && !errors.Is(err, context.Canceled) && ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "ship proxy %s: %v\n", args[1], err)
		return 1
	}
	return 0
}

// hold keeps the proxy's sockets while a process of its own serves.
func hold(ctx context.Context, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return Guard(ctx, func() *exec.Cmd {
		cmd := exec.Command(self, append([]string{"proxy", "work"}, args...)...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return cmd
	}, containerLog())
}

func containerLog() *slog.Logger { return slog.New(slog.NewJSONHandler(os.Stderr, nil)) }

func work(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("proxy run", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	port := flags.Int("http-port", 80, "")
	https := flags.Int("https-port", 443, "")
	socket := flags.String("socket", containerSocket, "")
	state := flags.String("state", containerState, "")
	metrics := flags.String("metrics", "", "")
	logged := flags.Float64("log-percent", 100, "")
	instance := flags.String("instance", "", "")
	version := flags.String("version", "", "") // of the ship that started it
	if err := flags.Parse(args); err != nil {
		return err
	}
	// What requests leave behind is small and short-lived: it may grow to four times what lives, before it is collected.
	debug.SetGCPercent(400)
	return Run(ctx, Options{
		HTTPAddr: fmt.Sprintf(":%d", *port), HTTPSAddr: fmt.Sprintf(":%d", *https), Socket: *socket, Spare: spareSocket, StateDir: *state, Instance: *instance,
		Master: os.NewFile(WorkerFile, "master"), AccessLog: os.Stdout, Log: containerLog(), Version: *version, MetricsAddr: *metrics,
		LogSkip: 1 - min(max(*logged, 0), 100)/100,
	})
}
