package orchestrate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ship/internal/event"
	"ship/proxy"
)

// Certificate is what a role is served with by https.
type Certificate struct {
	Role string
	Pair proxy.KeyPair // prints as [redacted]
	Told proxy.Certificate
}

// Certify is a certificate that a host's proxy is to be given.
type Certify struct {
	Role  string
	Cause string
}

// planCertify compares the role's certificate with the one that the proxy has.
func planCertify(want Desired, u Unit, o Observed) []Certify {
	c := want.certificate(u.Role)
	if c == nil || u.Settings.Service == nil || u.Settings.Service.TLS == nil {
		return nil
	}
	now, ok := o.Proxy.service(u.Settings.Service.Name)
	if !ok || now.TLSCert == nil {
		return []Certify{{Role: u.Role, Cause: "it is not served by https yet"}}
	}
	switch has := now.TLSCert; {
	case has.Fingerprint == c.Told.Fingerprint:
		return nil
	case has.Error != "":
		return []Certify{{Role: u.Role, Cause: has.Error}}
	default:
		return []Certify{{Role: u.Role, Cause: "another one is served, until " + has.NotAfter.Format(time.DateOnly)}}
	}
}

func (d Desired) certificate(role string) *Certificate {
	i := slices.IndexFunc(d.Certificates, func(c Certificate) bool { return c.Role == role })
	if i < 0 {
		return nil
	}
	return &d.Certificates[i]
}

// SetClientCA has a role's clients need a certificate that one of these (PEM) vouches for. They are a setting of the release.
func (d *Desired) SetClientCA(role, certificates string) {
	d.eachService(role, func(s *proxy.Service) {
		if s.TLS != nil {
			s.TLS.ClientCA = certificates
		}
	})
}

// https says whether any of the host's units is reached by https.
func (hp HostPlan) https() bool {
	return slices.ContainsFunc(hp.Units, func(u UnitPlan) bool { return u.Settings.Service != nil && u.Settings.Service.TLS != nil })
}

// certify gives the host's proxy the certificates that are due, before the switch. For names that they are not for it keeps
// those that it has, until the cutover and for an undo.
func (r *run) certify(ctx context.Context, h Host, hp HostPlan) error {
	for _, c := range hp.Certify {
		cert := r.plan.Desired.certificate(c.Role)
		if cert == nil {
			continue
		}
		r.say(event.Phase, h.Name, "certify", "giving the proxy the certificate of "+c.Role)
		if _, err := h.Proxy.Certify(ctx, r.plan.Desired.App.proxyService(c.Role), cert.Pair, r.Generation); err != nil {
			return fmt.Errorf("certificate of %s: %w", c.Role, err)
		}
	}
	return nil
}
