package sshx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
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

// Sessions that stay do not keep others out: those have another connection, which ends with the first.
func TestPlacesOfLongSessions(t *testing.T) {
	t.Parallel()
	s := newServer(t, "MaxSessions 1")
	c := s.dial(t)
	var stay []net.Conn
	for range 3 {
		k, err := c.Conn(t.Context(), Command{Argv: []string{"cat"}})
		must(t, err)
		stay = append(stay, k)
	}
	if _, err := c.Run(t.Context(), Command{Argv: []string{"true"}}); err != nil {
		t.Error(err)
	}
	if n := len(s.sessions()); n < 3 || n > 4 {
		t.Errorf("%d connections", n)
	}
	for _, k := range stay {
		if _, err := k.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		got := make([]byte, 1)
		if _, err := io.ReadFull(k, got); err != nil || got[0] != 'x' {
			t.Errorf("got %q, %v", got, err)
		}
	}
	must(t, c.Close())
	for i, k := range stay {
		if _, err := k.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close, conn %d: %v", i, err)
		}
	}
	eventually(t, "sshd serves nothing", func() bool { return len(s.sessions()) == 0 })
}

// A link that is lost is lost as a whole.
func TestSiblingsAreLostTogether(t *testing.T) {
	t.Parallel()
	s := newServer(t, "MaxSessions 1")
	c := s.dial(t)
	var stay []net.Conn
	for range 2 {
		k, err := c.Conn(t.Context(), Command{Argv: []string{"cat"}})
		must(t, err)
		stay = append(stay, k)
	}
	s.signalSessions(t, syscall.SIGKILL)
	for i, k := range stay {
		if _, err := k.Read(make([]byte, 1)); !errors.Is(err, ErrLinkLost) {
			t.Errorf("conn %d: %v", i, err)
		}
	}
	if err := c.Wait(); !errors.Is(err, ErrLinkLost) {
		t.Errorf("the connection: %v", err)
	}
	if _, err := c.Run(t.Context(), Command{Argv: []string{"true"}}); !errors.Is(err, ErrLinkLost) {
		t.Errorf("a command: %v", err)
	}
}

// Who may not have another connection waits until a place is free.
func TestWaitForAPlace(t *testing.T) {
	t.Parallel()
	s := newServer(t, "MaxSessions 1")
	o := s.options(t)
	c, err := Dial(t.Context(), s.addr(), o)
	must(t, err)
	defer c.Close()
	c.again = func(context.Context) (*Client, error) { return nil, errors.New("no") }
	k, err := c.Conn(t.Context(), Command{Argv: []string{"cat"}})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*grace)
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
			ok, err := p.take(ctx, nil, wish{ticket: p.ticket(), probe: time.Hour})
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
		if ok, err := p.take(t.Context(), nil, wish{ticket: p.ticket(), probe: time.Minute}); !ok || err != nil || time.Since(start) != time.Minute {
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
				if ok, err := p.take(t.Context(), nil, wish{ticket: ticket, probe: time.Hour}); !ok || err != nil {
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
		if ok, err := p.take(t.Context(), over, wish{ticket: p.ticket(), probe: time.Hour}); ok || err != nil {
			t.Errorf("after the end: %v, %v", ok, err)
		}
		if len(p.line) != 0 || p.taken != 3 || p.open != 3 {
			t.Errorf("%d in line, %d taken, %d open", len(p.line), p.taken, p.open)
		}
	})
}
