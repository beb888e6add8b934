package orchestrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"ship/internal/docker"
	"ship/internal/event"
)

// finish drains and stops what was replaced, and prunes. The new release serves everywhere by now; so nothing here
// fails the run but its cancellation: what stays behind is a warning, and the next run takes it up.
func (r *run) finish(ctx context.Context) error {
	_ = r.each(func(_ int, h Host, hp HostPlan) error { // each host's troubles are warnings
		r.finishHost(ctx, h, hp)
		return nil
	})
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errLeaseLost):
		r.say(event.Warning, "", "stop", fmt.Sprintf("%v; old containers may still run, the next deploy stops them", cause))
	case cause != nil:
		return &ServingError{cause}
	}
	return nil
}

func (r *run) finishHost(ctx context.Context, h Host, hp HostPlan) {
	warn := func(what string, err error) {
		if err != nil && !errors.Is(err, docker.ErrNotFound) && ctx.Err() == nil {
			r.say(event.Warning, h.Name, "stop", fmt.Sprintf("%s: %v", what, err))
		}
	}
	for _, d := range hp.Adopt {
		warn("adopt "+d.Name, h.Engine.SetRestart(ctx, d.ID, "unless-stopped"))
	}
	// Drain all first: the roles' requests run out at the same time.
	acts := make([]func() error, len(hp.Stop))
	for n, s := range hp.Stop {
		acts[n] = func() error { return r.stopOld(ctx, h, s) }
	}
	warn("stop", together(acts...))
	for _, d := range hp.Prune {
		warn("prune "+d.Name, h.Engine.RemoveContainer(ctx, d.ID, false))
	}
	for _, ref := range hp.Images {
		if err := h.Engine.RemoveImage(ctx, ref); !errors.Is(err, docker.ErrConflict) { // in use by somebody else: not ours to remove
			warn("prune image "+ref, err)
		}
	}
	if hp.Swept {
		warn("remove old proxies", sweepProxies(ctx, h))
	}
	if ctx.Err() == nil {
		r.say(event.Phase, h.Name, "done", "runs "+r.plan.Desired.Release.String())
	}
}

// stopOld lets the requests in flight end, up to the drain timeout, and stops the container.
func (r *run) stopOld(ctx context.Context, h Host, s Stop) error {
	c := s.Container
	if s.Unroute {
		if err := h.Proxy.Remove(ctx, c.Settings.Service.Name, r.Generation); err != nil {
			return fmt.Errorf("remove the route of %s: %w", c.Name, err)
		}
	}
	if svc := c.Settings.Service; svc != nil && !s.Unroute {
		r.say(event.Phase, h.Name, "drain", "draining "+c.Name)
		left, err := h.Proxy.Drain(ctx, svc.Name, c.ID, time.Duration(c.Settings.DrainTimeout))
		switch {
		case err != nil && ctx.Err() != nil:
			return nil // left running, on purpose: its requests go on
		case err != nil:
			r.say(event.Warning, h.Name, "drain", fmt.Sprintf("%s: %v", c.Name, err))
		case left.InFlight > 0:
			r.say(event.Warning, h.Name, "drain", fmt.Sprintf("%s still had %d requests after %s", c.Name, left.InFlight, time.Duration(c.Settings.DrainTimeout)))
		}
	}
	r.say(event.Phase, h.Name, "stop", "stopping "+c.Name)
	if err := h.Engine.StopContainer(ctx, c.ID, time.Duration(c.Settings.StopTimeout)); err != nil {
		return fmt.Errorf("stop %s: %w", c.Name, err)
	}
	return nil
}

// AuditEntry is one line of the audit log that each host keeps of the app.
type AuditEntry struct {
	Time       time.Time `json:"time"`
	Who        string    `json:"who"`
	Act        string    `json:"act"` // deploy, rollback, ...
	Release    Release   `json:"release"`
	Generation int64     `json:"generation"`
	Outcome    string    `json:"outcome"` // done, or the error
}

const maxOutcome = 1000 // bytes; escaped as JSON they still fit a line of the log

// The log is cut at 1 MiB once it has twice that: it must not fill a disk over the years.
const auditScript = stateDir + `
mkdir -p "$state/$1"
log=$state/$1/audit.log
head -c 8000 >>"$log"
if [ "$(wc -c <"$log")" -gt 2097152 ]; then tail -c 1048576 "$log" >"$log.new"; mv "$log.new" "$log"; fi
`

// Audit appends e to the audit log of every host. It is also written when the run was cancelled.
func Audit(ctx context.Context, app App, hosts []Host, e AuditEntry) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), finalTimeout)
	defer stop()
	e.Outcome = e.Outcome[:min(len(e.Outcome), maxOutcome)] // half a line would spoil the next one too
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return eachHost(hosts, func(_ int, h Host) error {
		_, err := h.Shell.Script(ctx, auditScript, []string{app.Name()}, newlineReader(line))
		return onHost(h.Name, "audit", err)
	})
}

const auditTail = stateDir + `tail -n "$2" "$state/$1/audit.log" 2>/dev/null || true`

// AuditLog reads the last lines of each host's audit log: one AuditEntry as JSON a line, oldest first.
func AuditLog(ctx context.Context, app App, hosts []Host, lines int) ([][]byte, error) {
	out := make([][]byte, len(hosts))
	err := eachHost(hosts, func(i int, h Host) error {
		var err error
		out[i], err = h.Shell.Script(ctx, auditTail, []string{app.Name(), strconv.Itoa(lines)}, nil)
		return onHost(h.Name, "audit", err)
	})
	return out, err
}
