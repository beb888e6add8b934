package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ship/transfer/swarm"
)

const (
	// reconnectFor is how long a host whose link broke is called again, from the break on.
	reconnectFor = 45 * time.Second
	mostPause    = 8 * time.Second
	// mostRestarts of a helper that ends though the link is there.
	mostRestarts = 2
)

// retries knows which failures of one host are worth another attempt, and what that attempt does otherwise.
type retries struct {
	dropped  int       // times that the host dropped layers meanwhile
	restarts int       // of the helper
	broke    time.Time // when the link broke first since it worked last; zero = it has not
	pause    time.Duration
	whole    bool  // a patch could not be applied: layers are sent whole from now on
	own      bool  // what other hosts made was not taken: all is made here from now on
	full     error // there was no room for chunks: it goes without a helper from now on
}

// after returns why there is another attempt, once it is time for it; false = there is none. lost tells whether the link
// to the host broke.
func (r *retries) after(ctx context.Context, err error, lost bool) (string, bool) {
	var base *swarm.BaseError
	var made *madeError
	switch {
	case ctx.Err() != nil:
		return "", false
	case lost:
		return r.reconnect(ctx, err)
	case errors.As(err, &base) && !r.whole:
		r.whole = true
		return "sending whole layers: " + base.Error(), true
	case errors.As(err, &made) && !r.own:
		r.own = true
		return "sending from here what other hosts had: " + made.Error(), true
	case errors.Is(err, swarm.ErrFull) && r.full == nil:
		r.full = err
		return "trying without a helper: " + err.Error(), true
	case errors.Is(err, errGone):
		r.dropped++
		return "the host dropped layers meanwhile, asking again", r.dropped < maxTries
	case errors.Is(err, swarm.ErrGone) && r.restarts < mostRestarts:
		r.restarts++
		return fmt.Sprintf("starting the helper again: %v", err), true
	}
	return "", false
}

func (r *retries) reconnect(ctx context.Context, err error) (string, bool) {
	now := time.Now()
	if r.broke.IsZero() || now.Sub(r.broke) > 2*reconnectFor {
		r.broke, r.pause = now, time.Second/2
	}
	if now.Sub(r.broke) > reconnectFor {
		return "", false
	}
	r.pause = min(2*r.pause, mostPause)
	timer := time.NewTimer(r.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return "", false
	}
	return fmt.Sprintf("calling the host again: %v", err), true
}

// refusal is why a host is sent nothing, or no more: if its disk is too small now because it has become full, that.
func (a *attempt) refusal(plan HostPlan) error {
	if a.full != nil {
		return a.full
	}
	return plan.Refused
}
