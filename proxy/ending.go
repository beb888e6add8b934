package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// giveUp lets go of what begin has taken.
func (s *server) giveUp() {
	for _, l := range []net.Listener{s.public, s.publicTLS, s.private} {
		if l != nil {
			_ = l.Close()
		}
	}
	if s.offer != nil {
		_ = s.offer.l.Close()
	}
	s.lock.release() // last: who waits for it finds the rest free
}

// until returns when it is time to end: nil if ctx has ended, or a successor has taken over and all that was left here
// is done.
func (s *server) until(ctx context.Context, handed <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.failed:
			if !errors.Is(err, net.ErrClosed) { // of a listener that was replaced
				return fmt.Errorf("serve: %w", err)
			}
		case <-handed:
			s.retire(ctx)
			return nil
		}
	}
}

// patience is how long requests may still take at the end.
func (s *server) patience(ctx context.Context) time.Duration {
	if s.leaving.Load() && ctx.Err() == nil {
		return 0 // they had it
	}
	return s.o.QuitTimeout
}

// linger is how long a proxy stays at least after a hand-over: for callers that are about to find the successor.
const linger = 2 * time.Second

// retire takes no new connection and returns when the last request has ended, its time is over, or ctx ends. Idle
// connections are left to their clients: who closes one may do so just when a request is on its way.
func (s *server) retire(ctx context.Context) {
	s.leaving.Store(true)
	s.conceal()
	s.m.thaw(unixClient(s.o.Socket))
	_ = s.public.Close()
	s.closeTLS()
	_ = s.private.Close()
	s.o.Log.Info("a successor has taken over", "connections", s.conns.Load(), "requests", s.m.gate.requests.Load())
	early := time.After(linger)
	late := time.After(s.o.RestTimeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-late:
			return
		case <-early:
			early = nil
			s.control.SetKeepAlivesEnabled(false)
		case <-tick.C:
			if early == nil && s.conns.Load() == 0 && s.m.gate.requests.Load() == 0 && s.asking.Load() == 0 {
				return
			}
		}
	}
}

// shutdown lets requests end by themselves first, then ends them as a drain would, and then by force. Upgraded
// connections never end by themselves: they go as soon as all else has.
func (m *manager) shutdown(ctx context.Context, gate *http.Server, patience time.Duration) {
	ctx = context.WithoutCancel(ctx) // it has ended: that is why we are here
	quit, stop := context.WithTimeout(ctx, patience)
	defer stop()
	_ = gate.Shutdown(quit) // what is left is ended below
	m.cutAll()
	for end := time.Now().Add(2 * closeTimeout); m.gate.requests.Load() > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	_ = gate.Close()
}
