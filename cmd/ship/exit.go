package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"ship/config"
	"ship/internal/sshx"
	"ship/orchestrate"
	"ship/transfer"
)

// Exit codes are a promise to scripts: docs/design.md, "Exit codes".
const (
	codeFailed      = 1   // failed; the old version serves everywhere
	codeChanges     = 2   // plan --detailed-exitcode: there are changes
	codeMixed       = 3   // the fleet is left mixed
	codeLocked      = 4   // another run holds the lock
	codeUsage       = 80  // usage or configuration
	codeRefused     = 82  // preflight refused: disk, architecture, port, engine
	codeUnreachable = 101 // a host cannot be reached or is not trusted
	codeInterrupted = 130
	codeTerminated  = 143
)

// errChanges is no failure: it carries codeChanges.
var errChanges = errors.New("there are changes")

// usageError is a wrong flag, argument or file.
type usageError struct {
	err  error
	help string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// Hint says how to do it right.
func (e *usageError) Hint() string {
	var h interface{ Hint() string }
	if e.help == "" && errors.As(e.err, &h) {
		return h.Hint()
	}
	return e.help
}

func usagef(help, format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...), help}
}

// interruptError is the cause of a context that a signal ended.
type interruptError struct{ signal os.Signal }

func (e *interruptError) Error() string { return "interrupted (" + e.signal.String() + ")" }

func interruptCode(s os.Signal) int {
	if s == syscall.SIGTERM || s == syscall.SIGHUP {
		return codeTerminated
	}
	return codeInterrupted
}

// interrupted makes sure that an error which a signal brought about says so: deep below, a cancelled context may have
// been all that was known.
func interrupted(ctx context.Context, err error) error {
	var i, known *interruptError
	if err == nil || !errors.As(context.Cause(ctx), &i) || errors.As(err, &known) {
		return err
	}
	return fmt.Errorf("%w: %w", i, err)
}

// exitCode finds the gravest of what went wrong. A joined error has several causes: the one that a pager needs wins.
func exitCode(err error) int {
	var (
		mixed       *orchestrate.MixedError
		partly      *orchestrate.PartlyError
		interrupt   *interruptError
		locked      *orchestrate.LockedError
		unreachable *sshx.UnreachableError
		hostKey     *sshx.HostKeyError
		auth        *sshx.AuthError
		refused     *orchestrate.RefusedError
		preflight   *transfer.PreflightError
		rights      *rightsError
		usage       *usageError
		conf        config.Errors
	)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errChanges):
		return codeChanges
	case errors.As(err, &mixed), errors.As(err, &partly):
		return codeMixed
	case errors.As(err, &interrupt):
		return interruptCode(interrupt.signal)
	case errors.As(err, &locked):
		return codeLocked
	case errors.As(err, &unreachable), errors.As(err, &hostKey), errors.As(err, &auth):
		return codeUnreachable
	case errors.As(err, &refused), errors.As(err, &preflight), errors.As(err, &rights):
		return codeRefused
	case errors.As(err, &usage), errors.As(err, &conf):
		return codeUsage
	}
	return codeFailed
}
