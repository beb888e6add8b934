// Command app is what the tests deploy: a web app, or a worker, whose bad habits are chosen by environment variables.
//
// With no argument it serves HTTP; with the argument "worker" it serves nothing and logs a line a second. With "check"
// it asks the app that serves beside it for /up and ends with status 0 or 1, for health checks in images without a shell.
//
//	PORT             where it listens, 3000 by default
//	VERSION          what it reports; default: the content of /version
//	BOOT_DELAY       waits so long before it listens
//	HEALTH_DELAY     /up answers 503 so long after the start
//	UNHEALTHY        /up answers 503 for ever
//	HEALTH_REDIRECT  /up answers 301
//	CRASH_ON_BOOT    ends with status 1 instead of serving
//	CRASH_AFTER      ends with status 1 so long after the start, requests or not
//	BROKEN           every answer but /up's is 500
//	RESPONSE_DELAY   every answer but /up's comes so late
//	STOP_DELAY       goes on serving so long after SIGTERM
//	IGNORE_TERM      does not hear SIGTERM at all
//
// Durations are written as Go writes them ("1.5s"); the switches are on when they are neither empty nor "0".
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	s, err := readSettings(os.Getenv, "/version")
	if err == nil {
		err = run(context.Background(), s, os.Args[1:], os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}

// errCrash ends an app that was told to crash.
var errCrash = errors.New("crashed, as told")

// errUnwell is what check says of an app that serves but is not well.
var errUnwell = errors.New("unwell")

// run is the life of the app.
func run(ctx context.Context, s settings, args []string, log io.Writer) error {
	if len(args) > 0 && args[0] == "check" {
		return check(s)
	}
	if s.CrashOnBoot {
		return errCrash
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if s.CrashAfter > 0 {
		t := time.AfterFunc(s.CrashAfter, func() { cancel(errCrash) })
		defer t.Stop()
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(term)
	if s.IgnoreTerm {
		term = nil
	}
	if len(args) > 0 && args[0] == "worker" {
		return work(ctx, s, term, log)
	}
	select {
	case <-time.After(s.BootDelay):
	case <-term:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	listener, err := net.Listen("tcp", ":"+s.Port)
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "version %s listens on %s\n", s.Version, listener.Addr())
	return serve(ctx, s, listener, term, log)
}

// serve answers until a signal, then finishes what it began.
func serve(ctx context.Context, s settings, listener net.Listener, term <-chan os.Signal, log io.Writer) error {
	server := &http.Server{Handler: newHandler(s, time.Now()), ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	var cause error
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		cause = context.Cause(ctx)
		_ = server.Close() // a crash does not say goodbye
	case sig := <-term:
		fmt.Fprintf(log, "version %s stops: %v\n", s.Version, sig)
		time.Sleep(s.StopDelay)
		cause = server.Shutdown(ctx)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return cause
}

// work logs a line a second until a signal.
func work(ctx context.Context, s settings, term <-chan os.Signal, log io.Writer) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		fmt.Fprintf(log, "version %s works: %d\n", s.Version, n)
		select {
		case <-tick.C:
		case <-term:
			time.Sleep(s.StopDelay)
			fmt.Fprintf(log, "version %s worked %d times\n", s.Version, n)
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// check asks the app on this machine how it is.
func check(s settings) error {
	client := http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://127.0.0.1:" + s.Port + "/up")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: /up answers %s", errUnwell, resp.Status)
	}
	return nil
}
