package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"ship/config"
	"ship/internal/event"
	"ship/orchestrate"
	"ship/proxy"
	"ship/proxy/acme"
)

// expiresSoon is how long before its end a certificate is warned of.
const expiresSoon = 14 * 24 * time.Hour

// certificates reads those of all roles with TLS, and refuses what could not serve their hosts.
func (d *deps) certificates(t *target, now time.Time) ([]orchestrate.Certificate, error) {
	var all []orchestrate.Certificate
	for _, r := range t.conf.Roles {
		if r.Proxy == nil || r.Proxy.TLS == nil || r.Proxy.TLS.ACME != nil {
			continue
		}
		c, err := readCertificate(t.conf, *r.Proxy.TLS)
		if err == nil {
			err = c.Told.Check(r.Proxy.Hosts, now)
		}
		if err != nil {
			return nil, &usageError{fmt.Errorf("role %s: %w", r.Name, err), "see proxy.ssl"}
		}
		if left := c.Told.NotAfter.Sub(now); left < expiresSoon {
			text := fmt.Sprintf("the certificate of %s ends on %s, in %d days", r.Name, c.Told.NotAfter.Format(time.DateOnly), int(left.Hours()/24))
			d.ui.Emit(event.Event{Type: event.Warning, Text: text})
		}
		c.Role = r.Name
		all = append(all, c)
	}
	return all, nil
}

// clientCAs reads what vouches for the clients of roles that want certificates of them, by role. Its error is config.Errors.
func clientCAs(t *target) (map[string]string, error) {
	all := map[string]string{}
	var wrong config.Errors
	for _, r := range t.conf.Roles {
		if r.Proxy == nil || r.Proxy.TLS == nil || r.Proxy.TLS.ClientCA == "" {
			continue
		}
		text, err := readPEM(r.Proxy.TLS.ClientCA)
		if err == nil {
			err = proxy.CheckClientCA(text)
		}
		if err != nil {
			e := t.conf.ProxyMistake(r.Name, "ssl.client_ca", "a file with the certificates (PEM) of who signs those of the clients", err.Error())
			if !slices.Contains(wrong, e) {
				wrong = append(wrong, e)
			}
			continue
		}
		all[r.Name] = text
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	return all, nil
}

// automatic are the roles whose certificates an authority issues, as the configuration has them.
func automatic(t *target) ([]orchestrate.Automatic, error) {
	var all []orchestrate.Automatic
	for _, r := range t.conf.Roles {
		if r.Proxy == nil || r.Proxy.TLS == nil || r.Proxy.TLS.ACME == nil {
			continue
		}
		conf := r.Proxy.TLS.ACME
		e := acme.Enrolment{Hosts: r.Proxy.Hosts, Directory: conf.Directory, Email: conf.Email, KeyID: conf.KeyID}
		if conf.HMACKey != "" {
			src, _, err := t.conf.OpenSecrets(os.LookupEnv) // environment has told the warnings, and what is missing
			if err != nil {
				return nil, err
			}
			key, _ := src.Lookup(conf.HMACKey)
			e.HMAC = strings.TrimSpace(key.Reveal())
		}
		if conf.CA != "" {
			var err error
			if e.Roots, err = readPEM(conf.CA); err != nil {
				return nil, &usageError{fmt.Errorf("role %s: read the authority's certificates: %w", r.Name, err), "see proxy.ssl.acme.ca"}
			}
		}
		probe := e // with an account, for the check of everything else
		var err error
		if probe.Key, err = acme.NewKey(); err == nil {
			err = probe.Check()
		}
		if err != nil {
			return nil, &usageError{fmt.Errorf("role %s: %w", r.Name, err), "see proxy.ssl.acme"}
		}
		all = append(all, orchestrate.Automatic{Role: r.Name, Enrolment: e})
	}
	return all, nil
}

func readCertificate(conf *config.App, t config.TLS) (c orchestrate.Certificate, err error) {
	if c.Pair.Certificate, err = readPEM(t.Certificate); err != nil {
		return c, fmt.Errorf("read the certificate: %w", err)
	}
	if t.KeyIsSecret() {
		src, _, err := conf.OpenSecrets(os.LookupEnv) // environment has told the warnings
		if err != nil {
			return c, err
		}
		key, ok := src.Lookup(t.PrivateKey)
		if !ok {
			return c, &config.MissingSecretsError{Names: []string{t.PrivateKey}, Files: conf.SecretFiles}
		}
		c.Pair.PrivateKey = key.Reveal()
	} else if c.Pair.PrivateKey, err = readPEM(t.PrivateKey); err != nil {
		return c, fmt.Errorf("read the private key: %w", err)
	}
	if c.Told, err = c.Pair.Inspect(); err != nil {
		err = fmt.Errorf("%s: %w", t.Certificate, err)
	}
	return c, err
}

func readPEM(path string) (string, error) {
	b, err := readUpTo(path, proxy.MaxPair)
	return string(b), err
}

// readUpTo reads one byte more than is allowed: what is too long is refused by its length.
func readUpTo(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most+1))
}
