package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"ship/cmd/ship/carried"
	"ship/internal/event"
	"ship/transfer"
	"ship/transfer/helper"
)

// runHelper is the program as the helper on a host.
func runHelper(ctx context.Context, args []string) int {
	signal.Ignore(syscall.SIGPIPE) // a controller that is gone shall not keep us from clearing up
	if err := helper.Command(ctx, args, helper.Stdin(), helper.Stdout(), os.Getenv); err != nil {
		fmt.Fprintln(os.Stderr, "ship helper:", err)
		return codeFailed
	}
	return 0
}

// helpers are the programs that hosts can be given. None is no reason to stop: hosts are served without then.
func (d *deps) helpers() map[string]transfer.Binary {
	all, err := carried.All(carried.Helper)
	if err != nil {
		d.ui.Emit(event.Event{Type: event.Message, Text: "no helper for hosts: " + err.Error()})
	}
	return all
}
