package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// cord is a connection of a line.
type cord struct {
	over chan struct{}
	once sync.Once
}

func newCord() *cord { return &cord{over: make(chan struct{})} }

func (c *cord) Done() <-chan struct{} { return c.over }

func (c *cord) Close() error {
	c.once.Do(func() { close(c.over) })
	return nil
}

// lostLine is a line whose connection is lost. Each dial takes 10 s, and fails with err unless that is nil.
func lostLine(err error) (l *line[*cord], dials *int) {
	dials = new(int)
	first := newCord()
	_ = first.Close() // never fails
	return newLine(first, func(ctx context.Context) (*cord, error) {
		*dials++
		select {
		case <-time.After(10 * time.Second):
			return newCord(), err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}), dials
}

// TestLineDownIsDialledOnce: those that need a host that is down share one dial and its error, and so do those that come
// right after.
func TestLineDownIsDialledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("no route to host")
		l, dials := lostLine(down)
		begin := time.Now()
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if _, err := l.get(t.Context()); !errors.Is(err, down) {
					t.Errorf("error %v", err)
				}
			})
		}
		wg.Wait()
		if _, err := l.get(t.Context()); !errors.Is(err, down) {
			t.Errorf("later: error %v", err)
		}
		if took := time.Since(begin); *dials != 1 || took != 10*time.Second {
			t.Errorf("%d dials in %s", *dials, took)
		}
		time.Sleep(dialMemory)
		if _, err := l.get(t.Context()); !errors.Is(err, down) || *dials != 2 {
			t.Errorf("much later: %d dials, error %v", *dials, err)
		}
		if err := l.close(); err != nil {
			t.Error(err)
		}
	})
}

// TestLineWaitersEnd: who waits for a dial gives up with its context; the dial goes on for the others, and nothing waits
// for it that only asks.
func TestLineWaitersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dials := lostLine(nil)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.get(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("error %v after %s", err, time.Since(begin))
		}
		if !l.lost() || l.number() != 0 || time.Since(begin) != time.Second {
			t.Errorf("lost %v, number %d after %s", l.lost(), l.number(), time.Since(begin))
		}
		c, err := l.get(t.Context())
		if err != nil || c != l.last() || *dials != 1 || time.Since(begin) != 10*time.Second {
			t.Errorf("%d dials, error %v after %s", *dials, err, time.Since(begin))
		}
		if l.lost() || l.number() != 1 {
			t.Errorf("lost %v, number %d", l.lost(), l.number())
		}
		if err := l.close(); err != nil || !l.lost() {
			t.Errorf("lost %v, error %v", l.lost(), err)
		}
	})
}

// TestLineCloseEndsDial, and those that wait for it.
func TestLineCloseEndsDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := lostLine(nil)
		begin := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := l.get(t.Context()); !errors.Is(err, net.ErrClosed) {
				t.Errorf("error %v", err)
			}
		})
		time.Sleep(time.Second)
		if err := l.close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if _, err := l.get(t.Context()); !errors.Is(err, net.ErrClosed) || time.Since(begin) != time.Second {
			t.Errorf("error %v after %s", err, time.Since(begin))
		}
	})
}
