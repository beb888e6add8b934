package transfer

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// watchFor runs a pulse while act does something, and returns when the watching ended and what it said.
func watchFor(t *testing.T, p *pulse, act func()) (after time.Duration, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	begin := time.Now()
	told := make(chan error, 1)
	go func() {
		err := p.watch(ctx)
		after = time.Since(begin)
		told <- err
	}()
	act()
	cancel()
	err = <-told
	return after, err
}

func TestPulse(t *testing.T) {
	const silence = 30 * time.Second
	answers := func(context.Context) error { return nil }
	frozen := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	tests := map[string]struct {
		ask   func(context.Context) error
		act   func(p *pulse)
		stall time.Duration // 0 = none
	}{
		"idle for hours": {frozen, func(*pulse) { time.Sleep(5 * time.Hour) }, 0},
		"slow writer": {frozen, func(p *pulse) {
			r, w := io.Pipe()
			var reader sync.WaitGroup
			reader.Go(func() {
				b := make([]byte, pieceSize)
				for {
					if _, err := io.ReadFull(r, b); err != nil {
						return
					}
					time.Sleep(20 * time.Second)
				}
			})
			_, _ = watched{p, w}.Write(make([]byte, 100*pieceSize))
			w.Close()
			reader.Wait()
		}, 0},
		"stuck writer": {answers, func(p *pulse) {
			r, w := io.Pipe()
			defer r.Close()
			go func() { _, _ = watched{p, w}.Write(make([]byte, 10)) }()
			time.Sleep(time.Minute)
		}, silence},
		"unpacking, answers": {answers, func(p *pulse) {
			p.work(+1, 0)
			time.Sleep(workLimit - time.Minute)
			p.work(-1, 0)
		}, 0},
		"unpacking, answers, too busy to take bytes": {answers, func(p *pulse) {
			p.work(+1, 0)
			p.setWriting(time.Now())
			time.Sleep(workLimit / 2)
			p.work(-1, 0)
		}, 0},
		"unpacking, frozen": {frozen, func(p *pulse) {
			p.work(+1, 0)
			time.Sleep(5 * time.Minute)
		}, silence},
		"unpacking, a question fails": {func(context.Context) error { return io.ErrUnexpectedEOF }, func(p *pulse) {
			p.work(+1, 0)
			time.Sleep(5 * time.Minute)
		}, 0},
		"unpacking for ever": {answers, func(p *pulse) {
			p.work(+1, 0)
			time.Sleep(2 * workLimit)
		}, workLimit + silence},
		"unpacking 10 GB": {answers, func(p *pulse) {
			p.work(+1, 1e10)
			time.Sleep(3 * workLimit)
			p.work(-1, 1e10)
		}, 0},
		"unpacking 10 GB for ever": {answers, func(p *pulse) {
			p.work(+1, 1e10)
			time.Sleep(10 * workLimit)
		}, 45 * time.Minute},
		"unpacking for ever what comes after 10 GB": {answers, func(p *pulse) {
			p.work(+1, 1e10)
			p.work(-1, 1e10)
			p.work(+1, 1000)
			time.Sleep(2 * workLimit)
		}, workLimit + silence},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &pulse{silence: silence, ask: tt.ask}
				after, err := watchFor(t, p, func() { tt.act(p) })
				var stalled *StalledError
				switch {
				case tt.stall == 0 && err != nil:
					t.Errorf("after %s: %v", after, err)
				case tt.stall != 0 && !errors.As(err, &stalled):
					t.Errorf("error %v after %s", err, after)
				case tt.stall != 0 && after > tt.stall:
					t.Errorf("took %s, want at most %s", after, tt.stall)
				}
			})
		})
	}
}
