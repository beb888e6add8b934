package layers

import (
	"context"
	"errors"
)

// job makes a blob. It returns with the making whole, or settled, or with an error.
type job func(ctx context.Context, m *making) error

// join takes a share in the making of key, which it starts with the job that begin returns if there is none. A share
// ends with leave and drop. Grow tells that the bytes will be read before the making is whole.
func (s *Spool) join(ctx context.Context, key blobKey, grow bool, begin func() job) (*making, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("layer cache is closed")
	}
	m := s.blobs[key]
	if m == nil {
		m = newMaking(key)
		s.blobs[key] = m
		s.work(ctx, m, begin())
	}
	m.users++
	m.holds++
	m.eager = m.eager || grow
	s.checkSettled(ctx, m)
	return m, nil
}

// work has a goroutine of the spool do the job, until it is done or cancelled. It is called with mu locked.
func (s *Spool) work(ctx context.Context, m *making, do job) {
	// Who comes first pays for all: the work outlives its context if others want it, see leave.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	m.cancel = cancel
	m.holds++
	s.running.Go(func() {
		defer cancel(nil)
		err := do(ctx, m)
		s.mu.Lock()
		if err != nil && s.blobs[m.key] == m {
			delete(s.blobs, m.key) // a later caller may have more luck
		}
		s.mu.Unlock()
		if err != nil {
			m.fail(err)
		}
		_ = s.drop(m) // only read
	})
}

// settle keeps the making for the next who asks: it is whole, or its bytes were there before and check reads them
// through. Then blob may lack its digest, and bytes can be read only as far as they were checked.
func (s *Spool) settle(ctx context.Context, m *making, blob Blob, spoil func(), check job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.settled, m.check = true, check
	m.holds++
	s.settled = append(s.settled, m)
	m.change(func() { m.blob, m.spoil = blob, spoil })
	if check == nil {
		m.finish()
		return
	}
	m.eager = m.eager || blob.Digest == ""
	s.checkSettled(ctx, m)
}

// checkSettled begins the check of stored bytes once somebody needs it. It is called with mu locked.
func (s *Spool) checkSettled(ctx context.Context, m *making) {
	if m.check != nil && m.eager && !m.checking && !s.closed {
		m.checking = true
		s.work(ctx, m, m.check)
	}
}

// leave tells that one caller does not want the making any more; without any it ends, unless it is settled.
func (s *Spool) leave(m *making) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.users--; m.users > 0 || m.settled {
		return
	}
	if s.blobs[m.key] == m {
		delete(s.blobs, m.key)
	}
	m.cancel(errUnwanted)
}

// drop tells that one caller does not need the making's bytes any more.
func (s *Spool) drop(m *making) error {
	s.mu.Lock()
	m.holds--
	last := m.holds == 0
	s.mu.Unlock()
	if !last || m.close == nil {
		return nil
	}
	return m.close()
}
