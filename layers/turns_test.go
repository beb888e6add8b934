package layers

import (
	"context"
	"errors"
	"testing"
)

func TestTurnsComeInOrder(t *testing.T) {
	turns := newTurns(1)
	first := turns.enter()
	must(t, first.wait(t.Context()))
	var waiting []*turn
	for range 4 {
		waiting = append(waiting, turns.enter())
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := waiting[1].wait(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	waiting[1].leave() // gave up
	first.leave()
	for _, i := range []int{0, 2, 3} {
		must(t, waiting[i].wait(t.Context()))
		if next := turns.enter(); next.wait(cancelled) == nil {
			t.Error("two at once")
		} else {
			next.leave()
		}
		waiting[i].leave()
	}
	must(t, turns.enter().wait(t.Context()))
}
