package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"ship/proxy/acme"
)

// maxMessage bounds a control message in either direction, in bytes.
const maxMessage = 1 << 20

// PrepareRequest asks for a target to be made ready for a service.
type PrepareRequest struct {
	Service    Service       `json:"service"`
	Target     Target        `json:"target"`
	More       []Target      `json:"more,omitempty"` // further replicas: all become healthy, and are switched to, together
	Generation int64         `json:"generation"`
	Timeout    time.Duration `json:"timeout_ns"` // to become healthy
}

// Switched is what a commit did.
type Switched struct {
	Previous *Target `json:"previous"` // nil: there was none
}

// call is what all other control messages carry.
type call struct {
	Service    string        `json:"service"`
	Token      string        `json:"token,omitempty"`
	Target     string        `json:"target,omitempty"`
	Generation int64         `json:"generation,omitempty"`
	Timeout    time.Duration `json:"timeout_ns,omitempty"`
	Halt       *Halt         `json:"halt,omitempty"`
	Kind       HaltKind      `json:"kind,omitempty"`
	Pair       *KeyPair      `json:"pair,omitempty"`

	Enrolment *acme.Enrolment `json:"enrolment,omitempty"`

	Pages []string `json:"pages,omitempty"`
	Page  []byte   `json:"page,omitempty"`
}

// prepareLine is one line of the answer to prepare: attempts, and then a token or a failure.
type prepareLine struct {
	Attempt *Attempt `json:"attempt,omitempty"`
	Token   string   `json:"token,omitempty"`
	Failure *failure `json:"failure,omitempty"`
}

// failure is an error on its way to the client.
type failure struct {
	Message   string          `json:"message"`
	Stale     *StaleError     `json:"stale,omitempty"`
	Unhealthy *UnhealthyError `json:"unhealthy,omitempty"`
	Refused   bool            `json:"refused,omitempty"`
}

func newFailure(err error) *failure {
	f := &failure{Message: printable(err.Error(), 500)}
	var refused *refusedError
	errors.As(err, &f.Stale)
	errors.As(err, &f.Unhealthy)
	f.Refused = errors.As(err, &refused)
	return f
}

// error is what the proxy said, fit for a terminal: it comes from a host.
func (f *failure) error() error {
	switch {
	case f.Stale != nil:
		f.Stale.Service = printable(f.Stale.Service, maxName)
		return f.Stale
	case f.Unhealthy != nil:
		return f.Unhealthy.clean()
	}
	if _, field, ok := strings.Cut(f.Message, unknownField); ok {
		return &OldProxyError{"the setting " + printable(strings.Trim(field, `"`), maxName)}
	}
	return &refusedError{errors.New(printable(f.Message, 500))}
}

// unknownField is what package json says of a message from a program that is newer than this one.
const unknownField = "control message: json: unknown field "

func (a Attempt) clean() Attempt {
	a.Error, a.Location, a.Body = printable(a.Error, 200), printable(a.Location, 200), printable(a.Body, 200)
	return a
}

func (e *UnhealthyError) clean() *UnhealthyError {
	c := &UnhealthyError{Target: e.Target, After: e.After, Path: printable(e.Path, 200)}
	c.Target.ID, c.Target.Address, c.Target.Release = printable(e.Target.ID, maxName), printable(e.Target.Address, maxName), printable(e.Target.Release, maxName)
	for _, a := range e.Attempts[max(0, len(e.Attempts)-maxAttempts):] {
		c.Attempts = append(c.Attempts, a.clean())
	}
	return c
}

// control is the private side: it answers on the control socket. After a hand-over it passes all on to the successor.
type control struct{ m *manager }

func (c control) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		if next := c.m.successor.Load(); next != nil {
			st, err := next.Status(r.Context())
			answer(w, st, err)
			return
		}
		answer(w, c.m.statusAll(r.Context()), nil)
	})
	mux.HandleFunc("POST /v1/prepare", c.prepare)
	c.onChange(mux, "commit", func(ctx context.Context, a call) (any, error) {
		return c.m.commit(ctx, a.Service, a.Token, a.Generation)
	})
	c.onChange(mux, "undo", func(ctx context.Context, a call) (any, error) {
		return struct{}{}, c.m.undo(ctx, a.Service, a.Generation)
	})
	c.onChange(mux, "remove", func(ctx context.Context, a call) (any, error) {
		return struct{}{}, c.m.remove(ctx, a.Service, a.Generation)
	})
	c.onChange(mux, "halt", func(ctx context.Context, a call) (any, error) {
		return struct{}{}, c.m.halt(ctx, a.Service, a.Halt)
	})
	c.onChange(mux, "resume", func(ctx context.Context, a call) (any, error) { return c.m.resume(ctx, a.Service, a.Kind) })
	c.onChange(mux, "certify", func(ctx context.Context, a call) (any, error) {
		return c.m.certify(ctx, a.Service, a.Pair, a.Generation)
	})
	c.onChange(mux, "enrol", func(ctx context.Context, a call) (any, error) {
		return struct{}{}, c.m.enrol(ctx, a.Service, a.Enrolment, a.Generation)
	})
	c.onChange(mux, "obtain", func(ctx context.Context, a call) (any, error) { return c.m.obtain(ctx, a.Service) })
	c.onSecret(mux, "account", func(a call) (any, error) { return held{Enrolment: c.m.account(a.Service)}, nil })
	c.onSecret(mux, "pair", func(a call) (any, error) {
		p, err := c.m.pair(a.Service)
		return held{Pair: p}, err
	})
	c.on(mux, errorPagesVerb, c.errorPages)
	c.on(mux, "drain", func(ctx context.Context, a call) (any, error) {
		if next := c.m.successor.Load(); next != nil {
			return next.Drain(ctx, a.Service, a.Target, a.Timeout)
		}
		return c.m.drainAll(ctx, a.Service, a.Target, min(max(a.Timeout, 0), time.Hour))
	})
	return mux
}

// onChange is on for calls that change the state. Proxies that have handed over follow before the caller knows: once it
// knows, it stops the old target.
func (c control) onChange(mux *http.ServeMux, verb string, do func(context.Context, call) (any, error)) {
	c.on(mux, verb, func(ctx context.Context, a call) (any, error) {
		v, err := do(ctx, a)
		if errors.Is(err, errHandedOver) {
			var raw json.RawMessage
			return &raw, c.m.successor.Load().do(ctx, http.MethodPost, verb, a, &raw)
		}
		if err == nil {
			c.m.follow(ctx, a.Service)
		}
		return v, err
	})
}

func (c control) on(mux *http.ServeMux, verb string, do func(context.Context, call) (any, error)) {
	mux.HandleFunc("POST /v1/"+verb, func(w http.ResponseWriter, r *http.Request) {
		var a call
		if err := readMessage(r.Body, &a); err != nil {
			answer(w, nil, err)
			return
		}
		v, err := do(r.Context(), a)
		answer(w, v, err)
	})
}

// held is what one host's proxy holds for those of the others too.
type held struct {
	Enrolment *acme.Enrolment `json:"enrolment,omitempty"`
	Pair      *KeyPair        `json:"pair,omitempty"`
}

// onSecret is for what changes nothing. After a hand-over the successor's is the one that counts.
func (c control) onSecret(mux *http.ServeMux, verb string, do func(call) (any, error)) {
	c.on(mux, verb, func(ctx context.Context, a call) (any, error) {
		if next := c.m.successor.Load(); next != nil {
			var raw json.RawMessage
			return &raw, next.do(ctx, http.MethodPost, verb, a, &raw)
		}
		return do(a)
	})
}

// prepare tells each attempt as it is made, so that a person sees what the deploy waits for.
func (c control) prepare(w http.ResponseWriter, r *http.Request) {
	var req PrepareRequest
	if err := readMessage(r.Body, &req); err != nil {
		answer(w, nil, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	enc, flush := json.NewEncoder(w), http.NewResponseController(w)
	send := func(l prepareLine) {
		// A caller that is gone ends the request's context, and with it the waiting.
		_ = enc.Encode(l)
		_ = flush.Flush()
	}
	send(prepareLine{})
	tell := func(a Attempt) { send(prepareLine{Attempt: &a}) }
	token, err := c.m.prepare(r.Context(), req, tell)
	if errors.Is(err, errHandedOver) {
		token, err = c.m.successor.Load().Prepare(r.Context(), req, tell)
	}
	if err != nil {
		send(prepareLine{Failure: newFailure(err)})
		return
	}
	send(prepareLine{Token: token})
}

func readMessage(r io.Reader, v any) error {
	// To its end: only then does the server notice a caller that goes away.
	b, err := io.ReadAll(io.LimitReader(r, maxMessage+1))
	if err == nil && len(b) > maxMessage {
		err = fmt.Errorf("more than %d bytes", maxMessage)
	}
	if err == nil {
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.DisallowUnknownFields()
		err = dec.Decode(v)
	}
	if err != nil {
		return &refusedError{fmt.Errorf("control message: %w", err)}
	}
	return nil
}

func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusConflict)
		v = newFailure(err)
	}
	_ = json.NewEncoder(w).Encode(v) // the caller may be gone; it will ask again
}
