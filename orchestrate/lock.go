package orchestrate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Lease times. A run that dies without a word blocks others for leaseTTL at the most.
const (
	leaseTTL   = 30 * time.Second
	leaseRenew = 7 * time.Second

	leaseMargin = 2 * time.Second // the host counts whole seconds
)

// LockOptions say how to take a lock.
type LockOptions struct {
	Owner Owner
	// Wait is how long to wait for a holder that is alive; 0 = give up as soon as it shows a sign of life.
	Wait time.Duration
	// Dead tells whether an owner is a process of this machine that has ended. Its lease is taken away at once.
	Dead func(Owner) bool
	// TTL of a lease that is not renewed (ship lock acquire); 0 = held by this process, renewed until Release.
	TTL time.Duration
	// Notify is told once when the lock has to wait.
	Notify func(error)
}

// Lock is the lease of one app on several hosts.
type Lock struct {
	generation atomic.Int64

	app   App
	hosts []Host
	id    string
	opt   LockOptions

	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
}

// Acquire takes the lease of app on all hosts, or on none. The returned context ends, with the cause, when the lease
// is lost: an act under it is never an act without the lock. A holder that renews its lease is alive: then, unless
// Wait asks for more, the error is a *LockedError.
func Acquire(ctx context.Context, app App, hosts []Host, o LockOptions) (context.Context, *Lock, error) {
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		return ctx, nil, fmt.Errorf("lock: %w", err)
	}
	l := &Lock{app: app, hosts: hosts, id: hex.EncodeToString(id), opt: o}
	if err := l.acquireAll(ctx); err != nil {
		return ctx, nil, err
	}
	if o.TTL > 0 {
		return ctx, l, nil
	}
	ctx, l.cancel = context.WithCancelCause(ctx)
	for i := range hosts {
		l.wg.Add(1)
		go l.renew(ctx, hosts[i])
	}
	return ctx, l, nil
}

// acquireAll tries until it holds every host, its patience ends, or a holder shows a sign of life.
func (l *Lock) acquireAll(ctx context.Context) error {
	start, seen := time.Now(), map[string]time.Duration{}
	for {
		held, err := l.tryAll(ctx)
		if err == nil && held == nil {
			return nil
		}
		if undo := l.releaseHeld(ctx); err == nil {
			err = undo
		}
		if err != nil {
			return err
		}
		key := held.Host + " " + held.Lease.ID
		before, again := seen[key]
		renewed := again && held.Lease.Expires > before
		alive := renewed || held.Lease.Expires > leaseTTL // by a sign of life, or a person's lock
		if alive && time.Since(start) >= l.opt.Wait {
			return held
		}
		if !again && l.opt.Notify != nil {
			l.opt.Notify(held)
		}
		seen[key] = held.Lease.Expires
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

// tryAll asks the first host by name, then all others in parallel: of two runs on the same fleet the first host lets
// one in, so that they cannot each hold a part and both give up. A held lease is returned, not an error.
func (l *Lock) tryAll(ctx context.Context) (*LockedError, error) {
	hosts := slices.SortedFunc(slices.Values(l.hosts), func(a, b Host) int { return strings.Compare(a.Name, b.Name) })
	fences := make([]int64, len(hosts))
	held := make([]*LockedError, len(hosts))
	try := func(i int, h Host) error {
		var err error
		fences[i], held[i], err = l.tryHost(ctx, h)
		return onHost(h.Name, "lock", err)
	}
	if err := try(0, hosts[0]); err != nil || held[0] != nil {
		return held[0], err
	}
	if err := eachHost(hosts[1:], func(i int, h Host) error { return try(i+1, h) }); err != nil {
		return nil, err
	}
	for i := range held {
		if held[i] != nil {
			return held[i], nil
		}
		l.generation.Store(max(l.generation.Load(), fences[i]))
	}
	// Every host remembers the highest number, so that a later run on any part of the fleet gets a higher one.
	return nil, eachHost(hosts, func(i int, h Host) error {
		if fences[i] == l.generation.Load() {
			return nil
		}
		_, err := l.call(ctx, h, "renew", l.ttl(), l.generation.Load(), "")
		return onHost(h.Name, "lock", err)
	})
}

// Generation is higher than that of every run before on any of the hosts.
func (l *Lock) Generation() int64 { return l.generation.Load() }

// Above raises the generation over what was seen on the hosts, and has them remember it. The leases alone do not know:
// state may have been wiped, or another user's runs may have kept theirs elsewhere.
func (l *Lock) Above(ctx context.Context, seen int64) error {
	if seen < l.generation.Load() {
		return nil
	}
	l.generation.Store(seen + 1)
	return eachHost(l.hosts, func(_ int, h Host) error {
		_, err := l.call(ctx, h, "renew", l.ttl(), seen+1, "")
		return onHost(h.Name, "lock", err)
	})
}

// tryHost asks one host, and takes away a lease whose owner is known to be dead.
func (l *Lock) tryHost(ctx context.Context, h Host) (fence int64, held *LockedError, err error) {
	a, err := l.call(ctx, h, "acquire", l.ttl(), 0, "")
	if err == nil && a.held != nil && l.opt.Dead != nil && l.opt.Dead(a.held.Owner) {
		a, err = l.call(ctx, h, "acquire", l.ttl(), 0, a.held.ID)
	}
	if a.held != nil {
		held = &LockedError{Host: h.Name, Lease: *a.held}
	}
	return a.fence, held, err
}

func (l *Lock) ttl() time.Duration {
	if l.opt.TTL > 0 {
		return l.opt.TTL
	}
	return leaseTTL
}

// renew keeps the lease of one host alive until the run ends, and ends the run when the lease is gone.
func (l *Lock) renew(ctx context.Context, h Host) {
	defer l.wg.Done()
	last := time.Now() // when the last renewal that succeeded was begun: the lease lives at least leaseTTL from then
	for {
		end := last.Add(leaseTTL - leaseMargin)
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(leaseRenew, time.Until(end))):
		}
		began := time.Now()
		call, stop := context.WithDeadline(ctx, end)
		a, err := l.call(call, h, "renew", leaseTTL, l.generation.Load(), "")
		stop()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && a.ok:
			last = began
		case err == nil:
			l.cancel(onHost(h.Name, "lock", errLeaseLost))
			return
		case !time.Now().Before(end): // a slow answer is no lost lease, silence for as long as it lives is
			l.cancel(onHost(h.Name, "lock", fmt.Errorf("%w: %w", errLeaseLost, err)))
			return
		}
	}
}

var errLeaseLost = errors.New("the lease was lost")

// Release gives the lease back on every host. It ends the renewing first.
func (l *Lock) Release(ctx context.Context) error {
	if l.cancel != nil {
		l.cancel(context.Canceled)
		l.wg.Wait()
	}
	return l.releaseHeld(ctx)
}

func (l *Lock) releaseHeld(ctx context.Context) error {
	// A cancelled run must still give back its lease, or it blocks the next one for leaseTTL.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	return eachHost(l.hosts, func(_ int, h Host) error {
		_, err := l.call(ctx, h, "release", 0, 0, "")
		return onHost(h.Name, "unlock", err)
	})
}
