package transfer

import (
	"context"
	"fmt"

	"ship/internal/event"
	"ship/transfer/wire"
)

// first waits until layer i has come. If the host that makes it turns out to be much slower than the line from here, it is
// sent from here too, and whichever comes first counts.
func (r *relay) first(ctx context.Context, i int, e *errand) (*errand, int64, [wire.SumSize]byte, error) {
	if e.made && !e.only {
		select {
		case <-e.want.Outpaced():
			return r.race(ctx, i, e)
		case <-e.want.Done():
		case <-ctx.Done():
		}
	}
	size, digest, err := e.want.Wait(ctx)
	return e, size, digest, err
}

func (r *relay) race(ctx context.Context, i int, slow *errand) (*errand, int64, [wire.SumSize]byte, error) {
	l := r.plan.Image.Layers[i]
	r.progress.say(event.Message, fmt.Sprintf("sending layer %s from here too: %s, which has it, is slow", l.DiffID.Short(), slow.maker))
	won, lost := r.again(i), slow
	select {
	case <-won.want.Done():
	case <-lost.want.Done():
		won, lost = lost, won
	case <-ctx.Done():
	}
	size, digest, err := won.want.Wait(ctx)
	if err != nil && ctx.Err() == nil { // the other one goes on
		won, lost = lost, won
		size, digest, err = won.want.Wait(ctx)
	}
	if err == nil {
		lost.want.Drop()
	}
	return won, size, digest, err
}
