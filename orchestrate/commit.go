package orchestrate

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"

	"ship/proxy"
)

// switcher is the part of a proxy that commits.
type switcher interface {
	Commit(ctx context.Context, service, token string, generation int64) (proxy.Switched, error)
	Status(ctx context.Context) (proxy.Status, error)
}

const (
	lostTries = 10
	lostPause = 300 * time.Millisecond
)

// commitService switches a service. A call that breaks off, because the proxy is just being replaced by another run or has
// died, leaves it open whether it was done: the status tells, and what was not done is asked for again, for a successor has
// the token too.
func commitService(ctx context.Context, p switcher, service, token string, generation int64) error {
	_, err := p.Commit(ctx, service, token, generation)
	for n := 0; n < lostTries && brokenOff(err); n++ {
		if !sleep(ctx, lostPause) {
			return err
		}
		st, e := p.Status(ctx)
		if e != nil {
			continue // it may not be there yet
		}
		if committed(st, service, generation) {
			return nil
		}
		_, err = p.Commit(ctx, service, token, generation)
	}
	return err
}

func committed(st proxy.Status, service string, generation int64) bool {
	for _, v := range st.Services {
		if v.Name == service {
			return v.Generation == generation && v.Active != nil
		}
	}
	return false
}

// brokenOff tells a call whose answer never came from one that was answered.
func brokenOff(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}
