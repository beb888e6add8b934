package transfer

import (
	"errors"

	"ship/transfer/swarm"
)

// linkMark remembers which link to a host something began on. Whether the link is down when it has failed tells little:
// somebody else may have made it again by then.
type linkMark struct {
	remote Remote // nil = nothing is known of the link
	number uint64
}

func markLink(r Remote) linkMark {
	if r == nil {
		return linkMark{}
	}
	return linkMark{r, r.Link()}
}

// lost tells whether the link was lost since.
func (m linkMark) lost() bool {
	return m.remote != nil && (m.remote.Lost() || m.remote.Link() != m.number)
}

// broke tells whether err may come from a link that was lost since. What the host answered did come over it.
func (m linkMark) broke(err error) bool {
	var refused *PreflightError
	var base *swarm.BaseError
	switch {
	case !m.lost():
		return false
	case m.remote.Lost():
		return true
	}
	return !isAnswer(err) && !errors.As(err, &refused) && !errors.As(err, &base)
}
