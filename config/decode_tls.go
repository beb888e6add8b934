package config

import (
	"errors"
	"net/mail"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// KeyIsSecret tells whether the private key is the value of a secret: capital letters, digits and _ are a name of one,
// everything else is a path.
func (t TLS) KeyIsSecret() bool {
	return strings.Trim(t.PrivateKey, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

// tls reads ssl: true, false, a certificate of one's own, or an authority.
func (d decoder) tls(n *node, path string) *TLS {
	t, days := &TLS{Redirect: true}, 0
	if n.kind != mapping {
		on := false
		if d.flag(&on)(n, path); !on {
			return nil
		}
		t.ACME = &ACME{}
		return t
	}
	d.section(n, path, "proxy.ssl", keys{
		"certificate": d.filePath(&t.Certificate),
		"private_key": d.filePath(&t.PrivateKey),
		"acme":        func(n *node, path string) { t.ACME = d.acme(n, path) },
		"client_ca":   d.filePath(&t.ClientCA),
		"hsts_days":   d.whole(&days, 0, 3650),
	})
	for _, key := range []string{"certificate", "private_key"} {
		v := n.get(key)
		switch given := v != nil && v.kind != null; {
		case t.ACME != nil && given:
			d.fail(v, join(path, key), "", "acme gets the certificate; it cannot be one of yours too")
		case t.ACME == nil && !given && n.get("acme") == nil:
			d.fail(n, join(path, key), "ssl: true gets a certificate from Let's Encrypt", "is required")
		}
	}
	t.HSTS = time.Duration(days) * 24 * time.Hour
	return t
}

// acme reads acme: true, or which authority it is.
func (d decoder) acme(n *node, path string) *ACME {
	a := &ACME{}
	if n.kind != mapping {
		on := false
		if d.flag(&on)(n, path); !on {
			return nil
		}
		return a
	}
	d.section(n, path, "proxy.ssl.acme", keys{
		"directory": d.text(&a.Directory, checkDirectory),
		"ca":        d.filePath(&a.CA),
		"email":     d.text(&a.Email, checkEmail),
		"eab":       func(n *node, path string) { d.externalAccount(n, path, a) },
	})
	return a
}

func (d decoder) externalAccount(n *node, path string, a *ACME) {
	d.section(n, path, "proxy.ssl.acme.eab", keys{
		"key_id": d.text(&a.KeyID, nil),
		"hmac_key": func(n *node, path string) {
			if n.kind != scalar || !isSecretName(n.text) {
				d.fail(n, path, "its value stands in the environment or in the file secrets_path, never here", "not the name of a secret")
				return
			}
			a.HMACKey = n.text
		},
	})
	if n.kind == mapping && (n.get("key_id") == nil || n.get("hmac_key") == nil) {
		d.fail(n, path, "eab: { key_id: ID, hmac_key: NAME_OF_A_SECRET }", "needs a key_id and an hmac_key")
	}
}

func checkDirectory(s string) error {
	if u, err := url.Parse(s); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || len(s) > 2048 {
		return errors.New("not an https URL")
	}
	return nil
}

func checkEmail(s string) error {
	if a, err := mail.ParseAddress(s); err != nil || a.Address != s || len(s) > 254 {
		return errors.New("not an address for mail")
	}
	return nil
}

// checkIssued finds hosts that no authority issues certificates for.
func (d decoder) checkIssued(n *node, path string, hosts []string) {
	if len(hosts) == 0 {
		d.fail(n, path, "proxy.host: shop.example.com", "a certificate is for names, and there is no proxy.host")
	}
	for _, h := range hosts {
		_, err := netip.ParseAddr(h)
		switch {
		case strings.HasPrefix(h, "*."):
			d.fail(n, path, "name the hosts one by one, or use a certificate of yours", "certificates for patterns like %.80q are not fetched", h)
		case err == nil || !strings.Contains(h, "."):
			d.fail(n, path, "use a certificate of yours", "no authority issues a certificate for %.80q", h)
		}
	}
}

func (t *TLS) document() object {
	if t == nil {
		return nil
	}
	o := object{{"certificate", t.Certificate}, {"private_key", t.PrivateKey}}
	if a := t.ACME; a != nil {
		eab := object{}.text("key_id", a.KeyID).text("hmac_key", a.HMACKey)
		o = object{{"acme", object{}.text("directory", a.Directory).text("ca", a.CA).text("email", a.Email).filled("eab", eab)}}
		if len(o[0].value.(object)) == 0 {
			o = object{{"acme", true}}
		}
	}
	if t.HSTS > 0 {
		o = append(o, member{"hsts_days", int(t.HSTS / (24 * time.Hour))})
	}
	return o.text("client_ca", t.ClientCA)
}
