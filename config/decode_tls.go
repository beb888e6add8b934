package config

import (
	"strings"
	"time"
)

// KeyIsSecret tells whether the private key is the value of a secret: capital letters, digits and _ are a name of one,
// everything else is a path.
func (t TLS) KeyIsSecret() bool {
	return strings.Trim(t.PrivateKey, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

// tls reads ssl: false, or a certificate of one's own.
func (d decoder) tls(n *node, path string) *TLS {
	if n.kind != mapping {
		on := false
		if d.flag(&on)(n, path); on {
			d.fail(n, path, "ssl: {certificate: PATH, private_key: NAME_OF_SECRET} has the proxy end TLS with a certificate of yours",
				"certificates are not fetched by this version yet")
		}
		return nil
	}
	t, days := &TLS{Redirect: true}, 0
	d.section(n, path, "proxy.ssl", keys{
		"certificate": d.filePath(&t.Certificate),
		"private_key": d.filePath(&t.PrivateKey),
		"hsts_days":   d.whole(&days, 0, 3650),
	})
	for _, key := range []string{"certificate", "private_key"} {
		if v := n.get(key); v == nil || v.kind == null {
			d.fail(n, join(path, key), "", "is required")
		}
	}
	t.HSTS = time.Duration(days) * 24 * time.Hour
	return t
}

func (t *TLS) document() object {
	if t == nil {
		return nil
	}
	o := object{{"certificate", t.Certificate}, {"private_key", t.PrivateKey}}
	if t.HSTS > 0 {
		o = append(o, member{"hsts_days", int(t.HSTS / (24 * time.Hour))})
	}
	return o
}
