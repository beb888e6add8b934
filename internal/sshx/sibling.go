package sshx

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// patience is how long a command waits for a place on a connection that has fewer than we use, before another
// connection is made for it. Most commands are over by then.
const patience = time.Second

// errFull means that a command waited long enough.
var errFull = errors.New("no place on this connection")

// startElsewhere opens a session on another connection to the host, which is made when it is first needed: what stays
// for long must not keep all others out. ssh does the same when a shared connection is full. If there can be no other
// connection, it waits for a place on this one.
func (c *Client) startElsewhere(ctx context.Context, cmd Command) (*conn, error) {
	s, err := c.sibling(ctx)
	switch {
	case err == nil:
		return s.start(ctx, cmd)
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	c.siblings.Store(0) // the host does not want more, and asking again may annoy it
	return c.start(ctx, cmd)
}

// sibling is another connection to the same host. It ends with this one, and this one with it: to our users they are
// one.
func (c *Client) sibling(ctx context.Context) (*Client, error) {
	select { // a lock that can be left
	case c.dialling <- struct{}{}:
		defer func() { <-c.dialling }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-c.done:
		return nil, c.err
	}
	if c.next != nil {
		return c.next, nil // if it is lost, so are we
	}
	inTime, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-c.done:
			cancel()
		case <-inTime.Done():
		}
	})
	s, err := c.again(inTime)
	cancel()
	watch.Wait()
	if err != nil {
		return nil, err
	}
	s.siblings.Store(c.siblings.Load() - 1)
	s.places.learn(c.places.size())
	if !c.enter() {
		_ = s.Close() // always nil
		return nil, net.ErrClosed
	}
	c.next = s
	go func() {
		defer c.wg.Done()
		select {
		case <-s.done:
			c.end(s.err)
		case <-c.done:
			s.end(c.err)
		case <-c.closing:
		}
		_ = s.Close() // always nil
	}()
	return s, nil
}
