package config

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestAutomaticCertificates(t *testing.T) {
	for ssl, want := range map[string]*TLS{
		"false":                              nil,
		"true":                               {ACME: &ACME{}, Redirect: true},
		"{ acme: true, hsts_days: 1 }":       {ACME: &ACME{}, Redirect: true, HSTS: 24 * time.Hour},
		"{ acme: true, client_ca: ca.pem }":  {ACME: &ACME{}, Redirect: true, ClientCA: "ca.pem"},
		"{ acme: { email: ann@shop.test } }": {ACME: &ACME{Email: "ann@shop.test"}, Redirect: true},
		"{ acme: { directory: https://ca.test/dir, ca: ca.pem, eab: { key_id: k, hmac_key: CA_KEY } } }": {
			ACME: &ACME{Directory: "https://ca.test/dir", CA: "ca.pem", KeyID: "k", HMACKey: "CA_KEY"}, Redirect: true,
		},
	} {
		path := filepath.Join(t.TempDir(), "ship.yaml")
		text := "service: shop\nimage: shop\nservers: [web-1]\nproxy: { host: shop.example.com, ssl: " + ssl + " }\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		app, err := Load(path, LoadOptions{})
		if err != nil {
			t.Errorf("%s: %v", ssl, err)
			continue
		}
		got := app.Roles[0].Proxy.TLS
		if want != nil && want.ACME.CA != "" {
			got.ACME.CA = filepath.Base(got.ACME.CA)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", ssl, got, want)
		}
	}
}
