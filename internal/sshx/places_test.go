package sshx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A host with a few places serves all that want one, in turn.
func TestFewSessions(t *testing.T) {
	t.Parallel()
	for _, most := range []int{1, 2} {
		c := newServer(t, fmt.Sprintf("MaxSessions %d", most)).dial(t)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if i%2 == 0 {
					if _, err := c.Run(t.Context(), Command{Argv: []string{"sleep", "0.05"}}); err != nil {
						t.Errorf("MaxSessions %d: run %d: %v", most, i, err)
					}
					return
				}
				k, err := c.Conn(t.Context(), Command{Script: "echo hello; cat"})
				if err != nil {
					t.Errorf("MaxSessions %d: conn %d: %v", most, i, err)
					return
				}
				defer k.Close()
				got := make([]byte, 6)
				if _, err := io.ReadFull(k, got); err != nil || string(got) != "hello\n" {
					t.Errorf("MaxSessions %d: conn %d: %q, %v", most, i, got, err)
				}
			})
		}
		wg.Wait()
		if got := c.MaxSessions(); got > most {
			t.Errorf("%d are thought to be allowed, %d are", got, most)
		}
	}
}

// A session that stays does not make others fail: they wait, and have the place when it ends.
func TestPlaceOfALongSession(t *testing.T) {
	t.Parallel()
	c := newServer(t, "MaxSessions 1").dial(t)
	k, err := c.Conn(t.Context(), Command{Argv: []string{"cat"}})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*grace+500*time.Millisecond)
	defer cancel()
	if _, err := c.Run(ctx, Command{Argv: []string{"true"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while the place is taken: %v", err)
	}
	ran := make(chan error, 1)
	go func() {
		_, err := c.Run(t.Context(), Command{Argv: []string{"true"}})
		ran <- err
	}()
	time.Sleep(100 * time.Millisecond)
	must(t, k.Close())
	if err := <-ran; err != nil {
		t.Errorf("after it ended: %v", err)
	}
}

func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(3)
		take := func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			ok, err := p.take(ctx, nil, p.ticket(), time.Hour)
			if !ok && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("err = %v", err)
			}
			return ok
		}
		open := func() {
			if !take() {
				t.Fatal("no place")
			}
			p.opened()
		}
		open()
		open()
		if !take() || p.refused() != 2 || p.size() != 2 {
			t.Fatalf("after a refusal: limit %d", p.size())
		}
		if take() {
			t.Error("a place above the limit")
		}
		p.leave(true)
		open()
		// The first in line tries one more, and the limit grows if that works.
		start := time.Now()
		if ok, err := p.take(t.Context(), nil, p.ticket(), time.Minute); !ok || err != nil || time.Since(start) != time.Minute {
			t.Fatalf("a try took %s: %v, %v", time.Since(start), ok, err)
		}
		p.opened()
		if p.size() != 3 {
			t.Errorf("limit %d, want 3", p.size())
		}
		// Who was refused comes before those that asked later.
		var order []int
		var wg sync.WaitGroup
		early := p.ticket()
		for i, ticket := range []uint64{p.ticket(), early} {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Second)
				if ok, err := p.take(t.Context(), nil, ticket, time.Hour); !ok || err != nil {
					t.Errorf("%v, %v", ok, err)
				}
				order = append(order, i)
				time.Sleep(time.Second)
				p.leave(false)
			})
		}
		time.Sleep(10 * time.Second)
		p.leave(true)
		time.Sleep(10 * time.Second)
		wg.Wait()
		if fmt.Sprint(order) != "[1 0]" {
			t.Errorf("order %v", order)
		}
		over := make(chan struct{})
		close(over)
		for p.size() > p.open {
			open()
		}
		if ok, err := p.take(t.Context(), over, p.ticket(), time.Hour); ok || err != nil {
			t.Errorf("after the end: %v, %v", ok, err)
		}
		if len(p.line) != 0 || p.taken != 3 || p.open != 3 {
			t.Errorf("%d in line, %d taken, %d open", len(p.line), p.taken, p.open)
		}
	})
}
