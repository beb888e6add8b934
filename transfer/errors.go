package transfer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ship/internal/docker"
	"ship/layers"
	"ship/transfer/swarm"
)

// ErrDiskFull is in the error of a load that the host had no room for.
var ErrDiskFull = errors.New("no space left on the host's disk")

// errGone: what the host held when it was asked is no longer there.
var errGone = errors.New("the host dropped layers meanwhile")

// HostError says which host failed at which step, and why.
type HostError struct {
	Host string
	Step string // ask, read, send, load, verify
	Err  error
}

func (e *HostError) Error() string { return fmt.Sprintf("%s: %s: %v", e.Host, e.Step, e.Err) }
func (e *HostError) Unwrap() error { return e.Err }

// Hint says what to do about it; "" = nothing better than to try again.
func (e *HostError) Hint() string {
	var own interface{ Hint() string }
	var wrong *layers.MismatchError
	switch {
	case errors.As(e.Err, &own):
		return own.Hint()
	case errors.Is(e.Err, ErrDiskFull):
		return "make room on the host (`docker system df`, `ship prune`) and run again: only what it still lacks is sent"
	case errors.As(e.Err, &wrong):
		return "the image source is damaged or changed while it was read; nothing was loaded from it"
	case e.Step == "send":
		return "run again once the host can be reached: only what it still lacks is sent"
	}
	return ""
}

// PreflightError refuses a host before anything is sent to it.
type PreflightError struct {
	Host  string
	Cause string
	Help  string
}

func (e *PreflightError) Error() string { return e.Host + ": " + e.Cause }

// Hint says what to do about it.
func (e *PreflightError) Hint() string { return e.Help }

// StalledError: the engine showed no sign of life for too long.
type StalledError struct {
	What string // "took no byte"
	For  time.Duration
}

func (e *StalledError) Error() string { return fmt.Sprintf("the engine %s for %s", e.What, e.For) }

// Hint says what to do about it.
func (e *StalledError) Hint() string {
	return "see whether the host and its dockerd are alive; the next run sends only what is left"
}

// loadFailed names the step that a load failed in, from what loading it and writing its archive returned.
func loadFailed(ctx context.Context, loading, writing error) error {
	var unwritten writeError
	switch {
	case loading == nil && writing == nil:
		return nil // also when ctx ended meanwhile
	case ctx.Err() != nil:
		return &stepError{"send", context.Cause(ctx)}
	case writing != nil && !errors.As(writing, &unwritten) && !errors.Is(writing, context.Canceled):
		return &stepError{"read", writing}
	case loading == nil:
		return &stepError{"send", writing}
	case !isAnswer(loading):
		return &stepError{"send", loading}
	case strings.Contains(loading.Error(), "no space left on device"):
		return &stepError{"load", fmt.Errorf("%w: %w", ErrDiskFull, loading)}
	case saysGone(loading.Error()):
		return &stepError{"load", fmt.Errorf("%w: %w", errGone, loading)}
	}
	return &stepError{"load", loading}
}

// linkBroke: after err the host cannot be reached, so that there is no use in tidying it up, and its parts shall stay
// for the next run.
func linkBroke(err error) bool {
	var s *stepError
	var stalled *StalledError
	var broken *brokenError
	switch {
	case errors.As(err, &stalled):
		return true
	case isAnswer(err), errors.As(err, &broken):
		return false
	}
	return !errors.As(err, &s) || s.step != "read"
}

// madeError: the host did not take what other hosts had made for it.
type madeError struct{ error }

func (e *madeError) Unwrap() error { return e.error }

// refusesLayers tells whether a load failed for what was in it: the engine says so, or has not got the image.
func refusesLayers(err error) bool {
	var load *docker.LoadError
	var broken *brokenError
	var base *swarm.BaseError
	switch {
	case errors.Is(err, ErrDiskFull), errors.Is(err, errGone), errors.As(err, &base):
		return false
	}
	return errors.As(err, &load) || errors.As(err, &broken)
}

// saysGone knows how engines complain about a layer that is neither in the archive nor on the host: graph drivers
// about a file of the archive, containerd stores about a blob.
func saysGone(message string) bool {
	return strings.Contains(message, "blobs/sha256/") && strings.Contains(message, "no such file or directory") ||
		strings.Contains(message, "content digest sha256:") && strings.Contains(message, "not found")
}

// isAnswer: the engine said it, so the link is up.
func isAnswer(err error) bool {
	var api *docker.APIError
	var load *docker.LoadError
	return errors.As(err, &api) || errors.As(err, &load)
}

// stepError is an error on its way to become a HostError.
type stepError struct {
	step string
	err  error
}

func (e *stepError) Error() string { return e.step + ": " + e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

// inStep names the step of err, unless it has one.
func inStep(step string, err error) error {
	var s *stepError
	if errors.As(err, &s) {
		return s
	}
	return &stepError{step, err}
}

// onHost makes err, which may name its step, the error of a host. A refusal passes as it is.
func onHost(host, step string, err error) error {
	var refused *PreflightError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return refused
	}
	var s *stepError
	errors.As(inStep(step, err), &s)
	return &HostError{Host: host, Step: s.step, Err: s.err}
}
