package orchestrate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ship/proxy"
)

// haltTimeout bounds what a host's proxy may take to answer: it writes one small file.
const haltTimeout = 30 * time.Second

// PartlyError says that some hosts were reached and others were not. Err joins the errors of those.
type PartlyError struct {
	What string   // that was done: "maintenance is on"
	Done []string // the hosts on which it was
	Err  error
}

func (e *PartlyError) Error() string {
	return fmt.Sprintf("%s only on %s: %v", e.What, strings.Join(e.Done, ", "), e.Err)
}
func (e *PartlyError) Unwrap() error { return e.Err }

// Hint says how to get out of it.
func (e *PartlyError) Hint() string { return "the same command again does no harm where it has worked" }

// Halt keeps new requests from the app's roles, on all hosts at once. roles are those behind the proxy, by host. What
// could be done is left when a host fails: a *PartlyError says where.
func Halt(ctx context.Context, app App, hosts []Host, roles map[string][]string, halt proxy.Halt) error {
	return atDoors(ctx, app, hosts, roles, string(halt.Kind)+" is on", func(ctx context.Context, _ int, h Host, service string) error {
		return h.Proxy.Halt(ctx, service, halt)
	})
}

// Resume ends a halt of that kind, and tells for each host whether there was one. It fails as Halt does.
func Resume(ctx context.Context, app App, hosts []Host, roles map[string][]string, kind proxy.HaltKind) (was []bool, err error) {
	was = make([]bool, len(hosts))
	err = atDoors(ctx, app, hosts, roles, string(kind)+" is off", func(ctx context.Context, i int, h Host, service string) error {
		yes, err := h.Proxy.Resume(ctx, service, kind)
		was[i] = was[i] || yes
		return err
	})
	return was, err
}

// atDoors calls do for each role of each host: hosts at once, the roles of one after another.
func atDoors(ctx context.Context, app App, hosts []Host, roles map[string][]string, what string, do func(ctx context.Context, i int, h Host, service string) error) error {
	ctx, stop := context.WithTimeout(ctx, haltTimeout)
	defer stop()
	failed := make([]bool, len(hosts))
	err := eachHost(hosts, func(i int, h Host) error {
		for _, role := range roles[h.Name] {
			if err := do(ctx, i, h, app.proxyService(role)); err != nil {
				failed[i] = true
				return onHost(h.Name, role, err)
			}
		}
		return nil
	})
	var done []string
	for i, h := range hosts {
		if !failed[i] {
			done = append(done, h.Name)
		}
	}
	if err != nil && len(done) > 0 {
		return &PartlyError{what, done, err}
	}
	return err
}
