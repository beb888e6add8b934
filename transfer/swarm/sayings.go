package swarm

import (
	"context"
	"sync"

	"ship/transfer/wire"
)

// sayings are what is to be said to a member, in order, so that nobody waits for a slow line to say it.
type sayings struct {
	come chan struct{}
	mu   sync.Mutex
	list []func(*wire.Conn) error
}

func (m *Member) say(f func(*wire.Conn) error) {
	m.says.mu.Lock()
	m.says.list = append(m.says.list, f)
	m.says.mu.Unlock()
	select {
	case m.says.come <- struct{}{}:
	default:
	}
}

func (s *sayings) run(ctx context.Context, over <-chan struct{}, to *wire.Conn, fail func(error)) {
	for {
		select {
		case <-s.come:
		case <-over:
			return
		case <-ctx.Done():
			return
		}
		s.mu.Lock()
		list := s.list
		s.list = nil
		s.mu.Unlock()
		for _, f := range list {
			if err := f(to); err != nil {
				fail(err)
				return
			}
		}
	}
}
