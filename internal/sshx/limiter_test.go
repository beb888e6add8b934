package sshx

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// sink is a connection that takes all at once.
type sink struct {
	net.Conn
	got atomic.Int64
}

func (s *sink) Write(p []byte) (int, error) { s.got.Add(int64(len(p))); return len(p), nil }
func (s *sink) Close() error                { return nil }

// Many connections send together what is allowed, and each the same share.
func TestLimiter(t *testing.T) {
	for name, tt := range map[string]struct {
		rate        int64
		connections int
		write       int
	}{
		"one":                {1e6, 1, 32 << 10},
		"a slow line":        {12500, 3, 32 << 10},
		"many":               {1e6, 50, 32 << 10},
		"fast":               {1.25e8, 4, 256 << 10},
		"only urgent writes": {12500, 3, 100},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := NewLimiter(tt.rate)
				sinks := make([]*sink, tt.connections)
				var wg sync.WaitGroup
				stop := make(chan struct{})
				for i := range sinks {
					sinks[i] = &sink{}
					m := newMeter(sinks[i], l)
					wg.Go(func() { <-stop; m.Close() })
					wg.Go(func() {
						for p := make([]byte, tt.write); ; {
							if _, err := m.Write(p); err != nil {
								if !errors.Is(err, net.ErrClosed) {
									t.Error(err)
								}
								return
							}
						}
					})
				}
				const span = 60 * time.Second
				time.Sleep(span)
				var all, least, most int64
				for i, s := range sinks {
					got := s.got.Load()
					if all += got; i == 0 || got < least {
						least = got
					}
					most = max(most, got)
				}
				close(stop)
				wg.Wait()
				allowed := int64(span.Seconds()+urgentTime.Seconds())*tt.rate + burstLeast + int64(l.rate/20) + int64(l.piece)
				if all > allowed || all < int64(span.Seconds())*tt.rate*99/100 {
					t.Errorf("%d bytes in %s, want %d", all, span, int64(span.Seconds())*tt.rate)
				}
				// Who comes first may take the burst. Short writes have no order.
				if tt.write > urgentSize && most-least > 2*int64(l.piece)+int64(l.rate*l.burst.Seconds()) {
					t.Errorf("one sends %d bytes, another %d", least, most)
				}
			})
		})
	}
}

// Who writes in small pieces gets the same share as others, not more.
func TestLimiterWithSmallAndBigWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(1e5)
		var wg sync.WaitGroup
		var got []*sink
		var busy []*meter
		for _, size := range []int{1000, 32 << 10} {
			s := &sink{}
			m := newMeter(s, l)
			got, busy = append(got, s), append(busy, m)
			wg.Go(func() {
				for {
					if _, err := m.Write(make([]byte, size)); err != nil {
						return // it is closed
					}
				}
			})
		}
		time.Sleep(time.Minute)
		small, big := got[0].got.Load(), got[1].got.Load()
		if small > 2*big || big > 3*small || small+big > 62*1e5 {
			t.Errorf("small writes got %d bytes through, big ones %d", small, big)
		}
		for _, m := range busy {
			m.Close()
		}
		wg.Wait()
	})
}

// What is short does not wait behind what is long.
func TestLimiterLetsUrgentWritesPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(12500)
		var wg sync.WaitGroup
		var busy []*meter
		for range 20 {
			m := newMeter(&sink{}, l)
			busy = append(busy, m)
			wg.Go(func() {
				_, _ = m.Write(make([]byte, 1<<20)) // until it is closed
			})
		}
		time.Sleep(10 * time.Second)
		m := newMeter(&sink{}, l)
		for range 10 {
			start := time.Now()
			if _, err := m.Write(make([]byte, 1000)); err != nil || time.Since(start) > 100*time.Millisecond {
				t.Errorf("a short write took %s, %v", time.Since(start), err)
			}
			time.Sleep(time.Second)
		}
		start := time.Now()
		for _, m := range busy {
			m.Close()
		}
		wg.Wait()
		if time.Since(start) > 0 {
			t.Errorf("closing took %s", time.Since(start))
		}
	})
}

func TestNoLimit(t *testing.T) {
	if NewLimiter(0) != nil || NewLimiter(-1) != nil {
		t.Error("a limit of nothing")
	}
}

// A limit far below the need looks like a slow line, not like a dead one, and other commands still get through.
func TestLimitedConnectionsLive(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	o := s.options(t)
	o.KeepAlive = 200 * time.Millisecond
	o.Limit = NewLimiter(12500) // 100 kbit/s
	start := time.Now()
	var clients []*Client
	var busy []net.Conn
	var writers sync.WaitGroup
	for range 3 {
		c, err := Dial(t.Context(), s.addr(), o)
		must(t, err)
		clients = append(clients, c)
		for range 2 {
			k, err := c.Conn(t.Context(), Command{Script: "cat >/dev/null"})
			must(t, err)
			busy = append(busy, k)
			writers.Go(func() {
				_, _ = io.Copy(k, endless{}) // until it is closed
			})
		}
	}
	time.Sleep(4 * time.Second)
	var sent int64
	for i, c := range clients {
		select {
		case <-c.Done():
			t.Errorf("connection %d is lost: %v", i, c.Wait())
		default:
		}
		sent += c.hops[0].conn.written.Load()
	}
	allowed := (time.Since(start)+urgentTime).Seconds()*12500 + burstLeast + 6*pieceLeast
	if float64(sent) > allowed {
		t.Errorf("%d bytes sent, allowed are %.0f", sent, allowed)
	}
	idle, err := Dial(t.Context(), s.addr(), o)
	must(t, err)
	if res, err := idle.Run(t.Context(), Command{Argv: []string{"cat"}, Stdin: strings.NewReader("hello")}); err != nil || string(res.Stdout) != "hello" {
		t.Errorf("got %q, %v", res.Stdout, err)
	}
	for _, k := range busy {
		k.Close()
	}
	start = time.Now()
	for _, c := range append(clients, idle) {
		must(t, c.Close())
	}
	writers.Wait()
	if took := time.Since(start); took > grace {
		t.Errorf("closing took %s", took)
	}
}
