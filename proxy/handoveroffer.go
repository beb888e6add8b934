package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// offering is a proxy's readiness to hand over to a successor.
type offering struct {
	s    *server
	path string
	l    *net.UnixListener
}

// wait serves successors until one has taken over, which is true, or ctx ends.
func (o *offering) wait(ctx context.Context) bool {
	for ctx.Err() == nil {
		stop := context.AfterFunc(ctx, func() { _ = o.l.SetDeadline(time.Unix(1, 0)) })
		c, err := o.l.AcceptUnix()
		stop()
		if err != nil {
			pause(ctx, 100*time.Millisecond) // out of files, perhaps
			continue
		}
		switch err := o.serve(ctx, handoverLink{c}); {
		case err == nil:
			return true
		case ctx.Err() == nil:
			o.s.o.Log.Warn("a successor did not take over; this proxy goes on", "error", err)
		}
	}
	return false
}

// serve hands over to one successor. On an error it has not taken over, and this proxy serves as before.
func (o *offering) serve(ctx context.Context, c handoverLink) error {
	defer func() { _ = c.Close() }() // the last word has been said
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var who hello
	if err := c.SetDeadline(time.Now().Add(offerPatience)); err != nil {
		return err
	}
	if _, err := c.receive(&who); err != nil { // nothing was promised yet
		return fmt.Errorf("its first words: %w", err)
	}
	prepared := o.s.m.freeze()
	o.s.lock.release()
	err := o.conclude(c, prepared)
	if err == nil {
		o.s.o.Log.Info("handed over", "successor", printable(who.Instance, maxName))
		return nil
	}
	if ctx.Err() != nil { // whoever took over goes on alone
		return err
	}
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_ = c.send(verdict{sayCancel}) // it may be gone
	o.resume(ctx)
	return err
}

// conclude offers, waits for the successor to be ready, and hands over.
func (o *offering) conclude(c handoverLink, prepared []handedTarget) error {
	if err := c.SetDeadline(time.Now().Add(readyPatience)); err != nil {
		return err
	}
	names, sockets := o.s.sockets()
	if err := c.send(offer{Listeners: names, Prepared: prepared}, sockets...); err != nil {
		return fmt.Errorf("offer: %w", err)
	}
	var v verdict
	if _, err := c.receive(&v); err != nil {
		return fmt.Errorf("it went away before it was ready: %w", err)
	}
	if v.Say != sayReady {
		return fmt.Errorf("it said %.20q instead of being ready", v.Say)
	}
	if err := o.s.keeper.leave(); err != nil { // or it would start another worker when this one ends
		return err
	}
	rest, err := o.s.listenRest() // before the successor can look for it
	if err != nil {
		o.s.o.Log.Warn("the successor will not know of the requests that are left here", "error", err)
	}
	if err := c.send(verdict{sayDone}); err != nil {
		rest.close()
		return fmt.Errorf("it went away when it was ready: %w", err)
	}
	o.s.rest = rest
	return nil
}

// resume takes back what was lent: the right to write the state, and the sockets' paths.
func (o *offering) resume(ctx context.Context) {
	for {
		l, err := o.s.store.lock(ctx)
		if err == nil || !errors.Is(err, errLocked) {
			o.s.lock = l
			break
		}
		if ctx.Err() != nil {
			return
		}
	}
	if err := o.s.keep(); err != nil {
		o.s.o.Log.Error("nobody holds the sockets should this process die", "error", err)
	}
	if err := o.s.reopenControl(); err != nil {
		o.s.o.Log.Error("the control socket could not be taken back", "error", err)
	}
	if l, err := listenUnix(o.path); err != nil {
		o.s.o.Log.Error("no other successor can come", "error", err)
	} else {
		_ = o.l.Close()
		o.l = l
	}
	o.s.m.thaw(nil)
}

// errHandedOver is a change that is the successor's to make.
var errHandedOver = errors.New("another proxy has taken over")

// change locks the manager for a change of the state. While a hand-over is under way it waits for its outcome.
func (m *manager) change(ctx context.Context) error {
	for {
		m.mu.Lock()
		if m.frozen == nil && m.successor.Load() == nil {
			return nil
		}
		frozen := m.frozen
		m.mu.Unlock()
		if frozen == nil {
			return errHandedOver
		}
		select {
		case <-frozen:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// freeze waits for the change that is being written, lets no other begin, and returns what a successor cannot read off
// the disk.
func (m *manager) freeze() []handedTarget {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.frozen = make(chan struct{})
	var all []handedTarget
	for _, s := range m.services {
		for token, p := range s.prepared {
			all = append(all, handedTarget{token, p.placed, p.generation, p.expires})
		}
	}
	return all
}

// thaw lets changes go on: here, or at the successor if there is one now.
func (m *manager) thaw(successor *Client) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if successor != nil {
		m.successor.Store(successor)
		m.stopOrders()
	}
	close(m.frozen)
	m.frozen = nil
}

// adopt takes over the targets that wait for their commits.
func (m *manager) adopt(all []handedTarget) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range all {
		svc, err := h.Placed.Service.withDefaults()
		if err != nil || h.Placed.checkTargets() != nil || len(h.Token) > maxName { // of another version, with other rules
			continue
		}
		s := m.get(svc.Name)
		if len(s.prepared) < maxPrepared {
			s.prepared[h.Token] = &prepared{placed{svc, h.Placed.Target, h.Placed.More}, h.Generation, h.Expires}
		}
	}
}

// pause waits, but not beyond ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// handing is what manager keeps of hand-overs.
type handing struct {
	frozen    chan struct{} // closed when changes may go on; nil: they may. Guarded by the manager's lock
	successor atomic.Pointer[Client]
}
