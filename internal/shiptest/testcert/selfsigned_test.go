package testcert

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"
)

func TestSelfSigned(t *testing.T) {
	now := time.Now()
	cert, key, err := SelfSigned(now.Add(-time.Hour), now.Add(time.Hour), "shop.example", "*.shop.example", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(cert))
	for _, host := range []string{"shop.example", "a.shop.example", "127.0.0.1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	var other x509.HostnameError
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: "blog.example", Roots: roots}); !errors.As(err, &other) {
		t.Errorf("another host: %v", err)
	}
	var invalid x509.CertificateInvalidError
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now.Add(2 * time.Hour)}); !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		t.Errorf("after its end: %v", err)
	}
}
