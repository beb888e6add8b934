package sshx

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWatch(t *testing.T) {
	const second = time.Second
	for name, tt := range map[string]struct {
		dies    time.Duration                                         // the other side answers no keepalive from then on
		moves   func(at time.Duration) (received, acknowledged int64) // nil = nothing but keepalives
		held    time.Duration                                         // our limit holds us back until then
		noticed time.Duration                                         // 0 = never
	}{
		"lives":          {dies: time.Hour},
		"dead at once":   {dies: 0, noticed: 15 * second},
		"dies":           {dies: 22 * second, noticed: 40 * second},
		"still receives": {dies: 0, moves: func(at time.Duration) (int64, int64) { return int64(at / second), 0 }},
		"still sends":    {dies: 0, moves: func(at time.Duration) (int64, int64) { return 0, int64(at/second) << 10 }},
		"only the keepalive is acknowledged": {dies: 0, noticed: 15 * second, moves: func(at time.Duration) (int64, int64) {
			return 0, 100 * int64(min(at, 6*second)/second)
		}},
		"held back by our limit": {dies: 0, held: 41 * second, noticed: 55 * second},
		"stops in between": {dies: 0, noticed: 45 * second, moves: func(at time.Duration) (int64, int64) {
			return int64(min(at, 29*second)), 0
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				done := make(chan struct{})
				stop := time.AfterFunc(10*time.Minute, func() { close(done) })
				defer stop.Stop()
				p := pulse{
					ping: func(answered chan<- struct{}) {
						if time.Since(start) < tt.dies {
							answered <- struct{}{}
						}
					},
					held: func() bool { return time.Since(start) < tt.held },
					bytes: func() (int64, int64) {
						if tt.moves == nil {
							return 0, 0
						}
						return tt.moves(time.Since(start))
					},
				}
				dead := p.watch(5*second, done)
				if took := time.Since(start); dead != (tt.noticed > 0) || dead && took != tt.noticed {
					t.Errorf("dead = %v after %s, want %s", dead, took, tt.noticed)
				}
			})
		})
	}
}
