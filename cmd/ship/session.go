package main

import (
	"context"
	"fmt"
	"time"

	"ship/internal/event"
	"ship/layers"
	"ship/orchestrate"
	"ship/proxy"
)

// session is all that planning and executing a deploy need: configuration, source and links.
type session struct {
	*deps
	target       *target
	fleet        *fleet
	source       layers.Source
	ref          layers.Ref
	env          map[string][]string
	auth         map[string]*proxy.BasicAuth // by role, of those that have one
	certificates []orchestrate.Certificate
	automatic    []orchestrate.Automatic
	clientCAs    map[string]string         // PEM, by role
	pages        map[string]map[int][]byte // of the proxy's errors, by role and status
	close        []func()
}

// openSession reads the configuration and its secrets, opens the source and connects to the hosts: in that order, so
// that what is wrong here is found before anybody is called.
func (d *deps) openSession(ctx context.Context, source string) (_ *session, err error) {
	s := &session{deps: d}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.target, err = d.loadTarget(); err != nil {
		return nil, err
	}
	if source == "" {
		source = s.target.conf.Image
	}
	if s.env, s.auth, err = d.environment(s.target); err != nil {
		return nil, err
	}
	if s.certificates, err = d.certificates(s.target, time.Now()); err != nil {
		return nil, err
	}
	if s.automatic, err = automatic(s.target); err != nil {
		return nil, err
	}
	if s.clientCAs, err = clientCAs(s.target); err != nil {
		return nil, err
	}
	if s.pages, err = errorPages(s.target); err != nil {
		return nil, err
	}
	var closeSource func()
	if s.source, s.ref, closeSource, err = d.openSource(ctx, source); err != nil {
		return nil, err
	}
	s.close = append(s.close, closeSource)
	if s.fleet, err = d.connectTarget(ctx, s.target); err != nil {
		return nil, err
	}
	s.close = append(s.close, s.fleet.Close)
	return s, nil
}

// Close frees what the session holds, last opened first.
func (s *session) Close() {
	for i := len(s.close) - 1; i >= 0; i-- {
		s.close[i]()
	}
}

// withHosts runs do with the target's hosts connected, and without a source: for commands that only look at the hosts, or
// use what they hold.
func (d *deps) withHosts(ctx context.Context, do func(*session) error) error {
	s := &session{deps: d}
	defer s.Close()
	var err error
	if s.target, err = d.loadTarget(); err != nil {
		return err
	}
	if s.fleet, err = d.connectTarget(ctx, s.target); err != nil {
		return err
	}
	s.close = append(s.close, s.fleet.Close)
	return do(s)
}

// withObserved is withHosts, with what the hosts were found to run.
func (d *deps) withObserved(ctx context.Context, do func(*session, []orchestrate.Observed) error) error {
	return d.withHosts(ctx, func(s *session) error {
		found, err := s.observe(ctx)
		if err != nil {
			return err
		}
		return do(s, found)
	})
}

func (s *session) observe(ctx context.Context) ([]orchestrate.Observed, error) {
	for _, h := range s.fleet.Hosts {
		s.ui.Emit(event.Event{Type: event.Phase, Host: h.Name, Phase: "ask"})
	}
	found, err := orchestrate.Observe(ctx, s.target.app, s.fleet.Hosts)
	for _, o := range found {
		for _, odd := range o.Odd {
			s.ui.Emit(event.Event{Type: event.Warning, Host: o.Host, Text: "left alone: " + odd})
		}
	}
	return found, err
}

// withLock runs do under the lock of the app on all hosts of the session, and gives the lock back whatever comes.
func (s *session) withLock(ctx context.Context, message string, wait time.Duration, do func(context.Context, *orchestrate.Lock) error) error {
	held, lock, err := orchestrate.Acquire(ctx, s.target.app, s.fleet.Hosts, orchestrate.LockOptions{
		Owner: s.owner(message), Wait: wait, Dead: s.dead,
		Notify: func(err error) {
			s.ui.Emit(event.Event{Type: event.Message, Phase: "lock", Text: "waiting: " + err.Error()})
		},
	})
	if err != nil {
		return err
	}
	err = do(held, lock)
	if rel := lock.Release(ctx); rel != nil {
		s.ui.Emit(event.Event{Type: event.Warning, Phase: "unlock", Text: fmt.Sprintf("%v; the lock ends by itself within a minute", rel)})
	}
	return err
}
