package proxy

import "fmt"

// StaleError is a call of a run that a later one has overtaken.
type StaleError struct {
	Service    string
	Generation int64 // of the call
	Current    int64
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("service %s is at generation %d already, this run is %d: another run has overtaken it", e.Service, e.Current, e.Generation)
}

// refusedError is a call that cannot be done as it is.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }
