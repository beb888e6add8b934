package orchestrate

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestDropSecondary(t *testing.T) {
	own := errors.New("unhealthy")
	stopped := fmt.Errorf("b: health: %w", errOtherHost)
	cancelled := fmt.Errorf("c: start web: %w", context.Canceled)
	for name, tc := range map[string]struct {
		in   error
		want string
	}{
		"one host failed, others stopped":   {errors.Join(stopped, own, cancelled), "unhealthy"},
		"everybody was cancelled: all stay": {errors.Join(cancelled, cancelled), errors.Join(cancelled, cancelled).Error()},
		"not joined":                        {own, "unhealthy"},
	} {
		if got := dropSecondary(tc.in); got.Error() != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestBecauseNamesTheReason(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	err := fmt.Errorf("inspect container: %w", context.Canceled)
	if got := because(ctx, err); got.Error() != err.Error() {
		t.Errorf("a run that goes on: %v", got)
	}
	stop(onHost("a", "lock", errLeaseLost))
	got := because(ctx, err)
	if !errors.Is(got, errLeaseLost) || !errors.Is(got, context.Canceled) {
		t.Errorf("a lost lease: %v", got)
	}
	if again := because(ctx, got); again.Error() != got.Error() {
		t.Errorf("said twice: %v", again)
	}
}
