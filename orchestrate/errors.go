package orchestrate

import (
	"errors"
	"fmt"
	"strings"
)

// HostError says which host failed at which step, and why.
type HostError struct {
	Host string
	Step string // what was being done: "observe", "start web", "switch"
	Err  error
	Help string // what to do about it; may be ""
}

func (e *HostError) Error() string { return fmt.Sprintf("%s: %s: %v", e.Host, e.Step, e.Err) }
func (e *HostError) Unwrap() error { return e.Err }

// Detail is the error with the log of the container that it is about, if it is about one.
func (e *HostError) Detail() string {
	var u *UnhealthyError
	if errors.As(e.Err, &u) {
		return e.Error() + "\n" + u.log()
	}
	return e.Error()
}

// Hint is e.Help, or what the cause itself advises.
func (e *HostError) Hint() string {
	if e.Help != "" {
		return e.Help
	}
	var h interface{ Hint() string }
	if errors.As(e.Err, &h) {
		return h.Hint()
	}
	return ""
}

// RefusedError is a preflight refusal: nothing was changed, and a run cannot succeed until its cause is gone.
type RefusedError struct {
	Cause string
	Help  string
}

func (e *RefusedError) Error() string { return e.Cause }

// Hint says what to do about it.
func (e *RefusedError) Hint() string { return e.Help }

// LockedError says that somebody else holds the lease of a host.
type LockedError struct {
	Host  string
	Lease Lease
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("%s: locked by %s", e.Host, e.Lease)
}

// Hint says how to see and break the lock.
func (e *LockedError) Hint() string {
	return "wait for it (--lock-wait 15m), see `ship lock status`, or take it away with `ship lock release --force`"
}

// MixedError says that the fleet is left with more than one release: undoing failed too. Hosts says who runs what.
type MixedError struct {
	Cause error
	Hosts map[string]string // host -> what it serves now
}

func (e *MixedError) Error() string {
	var parts []string
	for _, h := range sortedKeys(e.Hosts) {
		parts = append(parts, h+" runs "+e.Hosts[h])
	}
	return fmt.Sprintf("the fleet is left mixed: %s; cause: %v", strings.Join(parts, ", "), e.Cause)
}

func (e *MixedError) Unwrap() error { return e.Cause }

// Hint says how to get out of it.
func (e *MixedError) Hint() string {
	return "run `ship deploy` again: it finishes what is left, or undoes it"
}

// ServingError is a run that ended after its last switch: the new release serves on every host, and only the
// stopping of old containers was cut short.
type ServingError struct{ Cause error }

func (e *ServingError) Error() string {
	return fmt.Sprintf("%v; the new release serves on every host, old containers may still run", e.Cause)
}
func (e *ServingError) Unwrap() error { return e.Cause }

// Hint says who stops them.
func (e *ServingError) Hint() string {
	return "the next `ship deploy` or `ship prune` stops old containers"
}

// onHost wraps err with host and step, unless it names them already.
func onHost(host, step string, err error) error {
	var he *HostError
	if err == nil || errors.As(err, &he) {
		return err
	}
	return &HostError{Host: host, Step: step, Err: err}
}
