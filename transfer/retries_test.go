package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"ship/internal/docker"
	"ship/transfer/swarm"
)

// tries counts how often an error that never changes is worth another attempt, and for how long.
func tries(t *testing.T, err error, lost bool) (n int, took time.Duration) {
	t.Helper()
	var r retries
	begin := time.Now()
	for n = 0; n < 100; n++ {
		if _, again := r.after(t.Context(), err, lost); !again {
			break
		}
	}
	return n, time.Since(begin)
}

func TestRetries(t *testing.T) {
	other := errors.New("no such image")
	gone := fmt.Errorf("load: %w", swarm.ErrGone)
	for name, tt := range map[string]struct {
		err   error
		lost  bool
		n     int
		least time.Duration
		most  time.Duration
	}{
		"nothing to be done":         {other, false, 0, 0, 0},
		"the host dropped layers":    {fmt.Errorf("verify: %w", errGone), false, maxTries - 1, 0, 0},
		"the helper ended":           {gone, false, mostRestarts, 0, 0},
		"the base is damaged":        {&swarm.BaseError{Reason: "bytes"}, false, 1, 0, 0},
		"what another host made":     {onlyMade(&docker.LoadError{Message: "wrong diff id"}), false, 1, 0, 0},
		"no room for chunks":         {fmt.Errorf("%w: %w", ErrDiskFull, swarm.ErrFull), false, 1, 0, 0},
		"no room to load":            {fmt.Errorf("load: %w", ErrDiskFull), false, 0, 0, 0},
		"the link is down":           {gone, true, 8, reconnectFor, reconnectFor + mostPause},
		"the link is down, whatever": {other, true, 8, reconnectFor, reconnectFor + mostPause},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, took := tries(t, tt.err, tt.lost)
				if n != tt.n || took < tt.least || took > tt.most {
					t.Errorf("%d attempts in %s, want %d in %s to %s", n, took, tt.n, tt.least, tt.most)
				}
			})
		})
	}
}

// onlyMade is the error of a load of layers that another host made.
func onlyMade(err error) error {
	r := &relay{}
	r.took.Store(true)
	return r.blame(&stepError{"load", err})
}

// TestBlame: only what may be the fault of another host's layer is tried again without them.
func TestBlame(t *testing.T) {
	load := &docker.LoadError{Message: "wrong diff id"}
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"the engine refuses":     {load, true},
		"the image is broken":    {&brokenError{"its layers are not unpacked"}, true},
		"the disk is full":       {fmt.Errorf("%w: %w", ErrDiskFull, load), false},
		"the host dropped them":  {fmt.Errorf("%w: %w", errGone, load), false},
		"the link broke":         {io.ErrUnexpectedEOF, false},
		"an older layer differs": {&swarm.BaseError{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var made *madeError
			if got := errors.As(onlyMade(tt.err), &made); got != tt.want {
				t.Error(got)
			}
			if got := (&relay{}).blame(tt.err); got != tt.err {
				t.Errorf("without layers of others: %v", got)
			}
		})
	}
	var on *HostError
	if err := onHost("h1", "send", onlyMade(load)); !errors.As(err, &on) || on.Step != "load" || !errors.Is(err, load) {
		t.Errorf("for people: %v", err)
	}
}

// TestRetriesForget: a link that broke, worked and breaks much later is called as patiently as at first.
func TestRetriesForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r retries
		lost := errors.New("lost")
		for range 3 {
			if _, ok := r.after(t.Context(), lost, true); !ok || r.pause != time.Second {
				t.Errorf("given up, or a pause of %s", r.pause)
			}
			time.Sleep(3 * reconnectFor)
		}
	})
}

// TestRetriesWhole: after a patch that could not be applied there is no other.
func TestRetriesWhole(t *testing.T) {
	var r retries
	if _, ok := r.after(t.Context(), &swarm.BaseError{}, false); !ok || !r.whole {
		t.Errorf("%+v", r)
	}
}

// TestRetriesEnd: a run that is over calls nobody.
func TestRetriesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second/2, cancel)
		var r retries
		begin := time.Now()
		if _, ok := r.after(ctx, swarm.ErrGone, true); ok || time.Since(begin) > time.Second/2 {
			t.Errorf("another attempt %s later", time.Since(begin))
		}
		if _, ok := r.after(ctx, swarm.ErrGone, false); ok {
			t.Error("another attempt after the end")
		}
	})
}
