package main

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// dialMemory is how long the error of a dial counts for those that come later: a host that is down is not called again
// by each of many that need it, one after another.
const dialMemory = 2 * time.Second

// connection is what a line is made of.
type connection interface {
	Done() <-chan struct{} // closed when it is over
	Close() error
}

// line is a connection that is made again when it is lost, by whoever needs it next. However many need it at once, it is
// dialled once, and the dial's result is that of all of them.
type line[C connection] struct {
	dial    func(context.Context) (C, error)
	current atomic.Pointer[dialled[C]]
	dials   sync.WaitGroup

	mu     sync.Mutex
	next   *dialling[C] // the dial that is under way, or one that failed; nil = neither
	closed bool
}

// dialled is a connection and how many there were before it.
type dialled[C connection] struct {
	c      C
	number uint64
}

// dialling is a dial; c, err and ended are set when done is closed.
type dialling[C connection] struct {
	cancel context.CancelFunc
	done   chan struct{}
	c      C
	err    error
	ended  time.Time
}

// newLine begins with a connection that is there.
func newLine[C connection](c C, dial func(context.Context) (C, error)) *line[C] {
	l := &line[C]{dial: dial}
	l.current.Store(&dialled[C]{c: c})
	return l
}

// get returns a connection that is not known to be lost.
func (l *line[C]) get(ctx context.Context) (C, error) {
	c, d, err := l.look(ctx)
	if d == nil {
		return c, err
	}
	select {
	case <-d.done:
		return d.c, d.err
	case <-ctx.Done():
		return c, context.Cause(ctx)
	}
}

// look returns the connection, or the dial that makes it or has lately failed to.
func (l *line[C]) look(ctx context.Context) (c C, d *dialling[C], err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return c, nil, net.ErrClosed
	case !l.lost():
		return l.last(), nil, nil
	case l.next != nil && (l.next.ended.IsZero() || time.Since(l.next.ended) < dialMemory):
		return c, l.next, nil
	}
	dialling := &dialling[C]{done: make(chan struct{})}
	ctx, dialling.cancel = context.WithCancel(context.WithoutCancel(ctx)) // others wait too; who gives up leaves it to them, and to close
	l.next = dialling
	l.dials.Go(func() { l.make(ctx, dialling) })
	return c, dialling, nil
}

func (l *line[C]) make(ctx context.Context, d *dialling[C]) {
	defer d.cancel()
	c, err := l.dial(ctx)
	old := l.current.Load()
	l.mu.Lock()
	closed := l.closed
	d.ended, d.err = time.Now(), err
	switch {
	case closed:
		d.err = net.ErrClosed
	case err == nil:
		d.c, l.next = c, nil
		l.current.Store(&dialled[C]{c, old.number + 1})
	}
	close(d.done)
	l.mu.Unlock()
	if closed && err == nil {
		_ = c.Close() // nobody has it
	}
	if !closed && err == nil {
		_ = old.c.Close() // it is over
	}
}

// last is the last connection, lost or not.
func (l *line[C]) last() C { return l.current.Load().c }

// number says which connection it is: it grows each time that a lost one was made again.
func (l *line[C]) number() uint64 { return l.current.Load().number }

// lost tells whether the connection is down. It never waits.
func (l *line[C]) lost() bool {
	select {
	case <-l.last().Done():
		return true
	default:
		return false
	}
}

// close ends the connection for good, and the dial that may be under way.
func (l *line[C]) close() error {
	l.mu.Lock()
	l.closed = true
	if l.next != nil {
		l.next.cancel()
	}
	l.mu.Unlock()
	l.dials.Wait()
	return l.last().Close()
}
