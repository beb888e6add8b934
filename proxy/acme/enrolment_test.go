package acme

import (
	"fmt"
	"strings"
	"testing"
)

func TestDigest(t *testing.T) {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	e := Enrolment{Hosts: []string{"Shop.example."}, Key: key}
	if e.Digest() != (Enrolment{Hosts: []string{"shop.example"}}).Digest() {
		t.Error("the key or the case of a name counts")
	}
	for _, other := range []Enrolment{{Hosts: []string{"a.example"}}, {Hosts: e.Hosts, Directory: "https://x/"}, {Hosts: e.Hosts, Email: "a@b.de"}, {Hosts: e.Hosts, HMAC: "aa"}, {Hosts: e.Hosts, Roots: "x"}} {
		if other.Digest() == e.Digest() {
			t.Errorf("%s: the same", other.Hosts)
		}
	}
}

func TestPrintsNoSecret(t *testing.T) {
	e := Enrolment{Hosts: []string{"shop.example"}, Key: "secret", HMAC: "secret"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if s := fmt.Sprintf(verb, e); s != "[redacted]" {
			t.Errorf("%s: %s", verb, s)
		}
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	good := Enrolment{Hosts: []string{"shop.example"}, Key: key}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[string]func(*Enrolment){
		"hosts":         func(e *Enrolment) { e.Hosts = nil },
		"100":           func(e *Enrolment) { e.Hosts = make([]string, 101) },
		"patterns":      func(e *Enrolment) { e.Hosts = []string{"*.shop.example"} },
		"10.0.0.1":      func(e *Enrolment) { e.Hosts = []string{"10.0.0.1"} },
		"https URL":     func(e *Enrolment) { e.Directory = "http://ca.example/" },
		"roots":         func(e *Enrolment) { e.Roots = "nonsense" },
		"address":       func(e *Enrolment) { e.Email = "Ann <ann@shop.example>" },
		"key ID":        func(e *Enrolment) { e.KeyID = "k" },
		"base64url":     func(e *Enrolment) { e.KeyID, e.HMAC = "k", "???" },
		"no PEM":        func(e *Enrolment) { e.Key = "x" },
		"cannot be rea": func(e *Enrolment) { e.Key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" },
	} {
		e := good
		spoil(&e)
		if err := e.Check(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "???") {
			t.Errorf("%s: %v", want, err)
		}
	}
}
