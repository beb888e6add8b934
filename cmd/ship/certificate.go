package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"ship/config"
	"ship/internal/event"
	"ship/orchestrate"
	"ship/proxy"
)

// expiresSoon is how long before its end a certificate is warned of.
const expiresSoon = 14 * 24 * time.Hour

// certificates reads those of all roles with TLS, and refuses what could not serve their hosts.
func (d *deps) certificates(t *target, now time.Time) ([]orchestrate.Certificate, error) {
	var all []orchestrate.Certificate
	for _, r := range t.conf.Roles {
		if r.Proxy == nil || r.Proxy.TLS == nil {
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

// readPEM reads one byte more than is allowed: what is too long is refused by its length.
func readPEM(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, proxy.MaxPair+1))
	return string(b), err
}
