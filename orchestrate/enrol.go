package orchestrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ship/internal/event"
	"ship/proxy"
	"ship/proxy/acme"
)

// Automatic is a role whose certificates an authority issues.
type Automatic struct {
	Role      string
	Enrolment acme.Enrolment // without an account; prints as [redacted]
}

// Enrol is a host's proxy that has to be told of the authority, or that has no certificate yet.
type Enrol struct {
	Role  string
	Cause string
}

// planEnrol compares what the role asks for with what the proxy knows.
func planEnrol(want Desired, u Unit, o Observed) []Enrol {
	a := want.automatic(u.Role)
	if a == nil || u.Settings.Service == nil {
		return nil
	}
	now, ok := o.Proxy.service(u.Settings.Service.Name)
	switch {
	case !ok || now.ACME == nil:
		return []Enrol{{u.Role, "it gets no certificate by itself yet"}}
	case now.ACME.Digest != a.Enrolment.Digest():
		return []Enrol{{u.Role, "its names or the authority have changed"}}
	case now.TLSCert == nil || now.TLSCert.Error != "":
		return []Enrol{{u.Role, "it has no certificate: " + why(now)}}
	}
	return nil
}

func why(s proxy.ServiceStatus) string {
	if s.ACME.Error == "" && s.TLSCert != nil && !s.TLSCert.NotAfter.IsZero() {
		return s.TLSCert.Error
	}
	return cmp.Or(s.ACME.Error, "none was issued yet")
}

func (d Desired) automatic(role string) *Automatic {
	i := slices.IndexFunc(d.Automatic, func(a Automatic) bool { return a.Role == role })
	if i < 0 {
		return nil
	}
	return &d.Automatic[i]
}

// issue sees to it that every host can answer the authority's challenges, and has a certificate. All hosts share one account,
// and the certificate that one of them gets. That there is none must not keep a release back: the proxies go on asking.
func (r *run) issue(ctx context.Context) error {
	for _, a := range r.plan.Desired.Automatic {
		due, all := r.enrolling(a.Role)
		if len(due) == 0 {
			continue
		}
		e := a.Enrolment
		var err error
		if e.Key, err = r.accountKey(ctx); err != nil {
			return err
		}
		service := r.plan.Desired.App.proxyService(a.Role)
		err = eachHost(due, func(_ int, h Host) error {
			r.say(event.Phase, h.Name, "enrol", "enrolling "+a.Role)
			return onHost(h.Name, "enrol "+a.Role, h.Proxy.Enrol(ctx, service, e, r.Generation))
		})
		if err != nil {
			return err
		}
		if err := r.certifyAll(ctx, service, a, all); err != nil {
			if ctx.Err() != nil {
				return err
			}
			r.say(event.Warning, "", "enrol", fmt.Sprintf("%s is not served by https yet, its proxies go on trying: %v", a.Role, err))
		}
	}
	return nil
}

// enrolling are the hosts where a role's enrolment is due, and all that have the role.
func (r *run) enrolling(role string) (due, all []Host) {
	for i, hp := range r.plan.Hosts {
		if slices.ContainsFunc(hp.Units, func(u UnitPlan) bool { return u.Role == role }) {
			all = append(all, r.Hosts[i])
		}
		if slices.ContainsFunc(hp.Enrol, func(e Enrol) bool { return e.Role == role }) {
			due = append(due, r.Hosts[i])
		}
	}
	return due, all
}

// accountKey is the one that some host of the app has, else a new one: roles that share a name share its challenges.
func (r *run) accountKey(ctx context.Context) (string, error) {
	for _, h := range r.Hosts {
		for _, a := range r.plan.Desired.Automatic {
			e, err := h.Proxy.Account(ctx, r.plan.Desired.App.proxyService(a.Role))
			if err != nil {
				return "", onHost(h.Name, "enrol", err)
			}
			if e != nil {
				return e.Key, nil
			}
		}
	}
	return acme.NewKey()
}

// certifyAll gives every host the best certificate that one of them has, and has one ordered if there is none.
func (r *run) certifyAll(ctx context.Context, service string, a Automatic, hosts []Host) error {
	pairs := make([]*proxy.KeyPair, len(hosts))
	best, err := r.collect(ctx, service, a, hosts, pairs)
	if err != nil {
		return err
	}
	if best < 0 {
		best = 0
		h := hosts[best]
		r.say(event.Phase, h.Name, "certificate", "ordering a certificate for "+a.Role+"; the authority asks the hosts")
		if _, err := h.Proxy.Obtain(ctx, service); err != nil {
			return onHost(h.Name, "order a certificate", err)
		}
		p, err := h.Proxy.Pair(ctx, service)
		if err == nil && p == nil {
			err = errors.New("it is gone")
		}
		if err == nil {
			_, err = a.usable(p, time.Now())
		}
		if err != nil {
			return onHost(h.Name, "read the certificate", err)
		}
		pairs[best] = p
	}
	return eachHost(hosts, func(i int, h Host) error {
		if pairs[i] != nil {
			return nil
		}
		r.say(event.Phase, h.Name, "certify", "giving the proxy the certificate of "+a.Role)
		_, err := h.Proxy.Certify(ctx, service, *pairs[best], r.Generation)
		return onHost(h.Name, "certify", err)
	})
}

// collect reads the hosts' certificates into pairs, and returns which one is valid longest; -1: none is. Those that are no good
// stay nil.
func (r *run) collect(ctx context.Context, service string, a Automatic, hosts []Host, pairs []*proxy.KeyPair) (int, error) {
	best, until := -1, time.Time{}
	for i, h := range hosts {
		p, err := h.Proxy.Pair(ctx, service)
		if err != nil {
			return -1, onHost(h.Name, "read the certificate", err)
		}
		if p == nil {
			continue
		}
		told, err := a.usable(p, time.Now())
		if err != nil {
			continue
		}
		if pairs[i] = p; told.NotAfter.After(until) {
			best, until = i, told.NotAfter
		}
	}
	return best, nil
}

// usable tells why a host's certificate must not be given to the others: none of them has to believe what one of them says.
func (a Automatic) usable(p *proxy.KeyPair, now time.Time) (proxy.Certificate, error) {
	told, err := p.Inspect()
	if err == nil {
		err = told.Check(a.Enrolment.Hosts, now)
	}
	if err == nil {
		err = a.Enrolment.Vouched(p.Certificate, now)
	}
	return told, err
}
