package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"ship/internal/docker"
	"ship/internal/event"
	"ship/internal/plain"
	"ship/orchestrate"
)

// LogsCmd shows the logs of the containers that serve, of all hosts in one stream.
type LogsCmd struct {
	Lines  int    `short:"n" default:"100" help:"Lines of each container."`
	Follow bool   `short:"f" help:"Go on as lines come."`
	Since  string `placeholder:"TIME" help:"Only what is younger: 10m, or 2026-01-02T15:04:05."`
	All    bool   `help:"Also of containers that do not serve."`
}

// maxLogLine bounds what one line of a container may put on the screen.
const maxLogLine = 16 << 10

// Run is the command.
func (c *LogsCmd) Run(ctx context.Context, d *deps) error {
	return d.withObserved(ctx, func(s *session, found []orchestrate.Observed) error {
		var from []logFrom
		for i := range found {
			for _, dep := range found[i].Deployed {
				if !c.All && !found[i].Serves(dep) || !matches(d.Roles, dep.Role) {
					continue
				}
				from = append(from, logFrom{s.fleet.Hosts[i], dep.ID, found[i].Host + " " + dep.Role + " | "})
			}
		}
		return d.copyLogs(ctx, from, docker.LogOptions{Tail: c.Lines, Follow: c.Follow, Since: c.Since})
	})
}

// logFrom is one container whose log is shown, each line with a prefix.
type logFrom struct {
	host      orchestrate.Host
	container string
	prefix    string
}

// copyLogs shows several logs at once, line by line.
func (d *deps) copyLogs(ctx context.Context, from []logFrom, o docker.LogOptions) error {
	return d.showLogs(ctx, from, func(ctx context.Context, f logFrom, line func(string)) error { return copyLog(ctx, f, o, line) })
}

// showLogs has all logs read at once, and shows one line after the other. The end of one does not end the others.
func (d *deps) showLogs(ctx context.Context, from []logFrom, read func(context.Context, logFrom, func(string)) error) error {
	errs := make([]error, len(from))
	var wg sync.WaitGroup
	var line sync.Mutex // one line at a time
	for i, f := range from {
		wg.Add(1)
		go func() {
			defer wg.Done()
			err := read(ctx, f, func(text string) {
				line.Lock()
				defer line.Unlock()
				if d.JSON {
					d.ui.Emit(event.Event{Type: event.Message, Host: f.host.Name, Item: f.container, Text: text})
				}
				d.printf("%s%s\n", f.prefix, text)
			})
			if err != nil && ctx.Err() == nil {
				errs[i] = &orchestrate.HostError{Host: f.host.Name, Step: "logs", Err: err}
			}
		}()
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(errs...)
}

func copyLog(ctx context.Context, f logFrom, o docker.LogOptions, line func(string)) error {
	rc, err := f.host.Engine.Logs(ctx, f.container, o)
	if err != nil {
		return err
	}
	defer rc.Close()
	r := bufio.NewReaderSize(rc, maxLogLine)
	for {
		text, err := r.ReadSlice('\n')
		if len(text) > 0 {
			line(plain.Text(strings.TrimRight(string(text), "\r\n"), maxLogLine))
		}
		switch {
		case err == nil || errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return nil
		default:
			return fmt.Errorf("read: %w", err)
		}
	}
}
