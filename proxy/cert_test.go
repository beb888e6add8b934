package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ship/internal/shiptest/testcert"
)

// issue makes a certificate for the names, of 30 days, signed by its own key.
func issue(t testing.TB, from time.Time, names ...string) KeyPair {
	t.Helper()
	cert, key, err := testcert.SelfSigned(from, from.Add(30*24*time.Hour), names...)
	if err != nil {
		t.Fatal(err)
	}
	return KeyPair{cert, key}
}

func newPair(t testing.TB, names ...string) KeyPair {
	return issue(t, time.Now().Add(-time.Hour), names...)
}

func TestCertificateCheck(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		from  time.Duration // of its 30 days
		names []string
		hosts []string
		want  string // in the error; "" = none
	}{
		{-time.Hour, []string{"Shop.example"}, []string{"shop.example"}, ""},
		{-time.Hour, []string{"*.shop.example"}, []string{"a.shop.example", "*.shop.example"}, ""},
		{-time.Hour, []string{"*.shop.example"}, []string{"shop.example"}, "not for"},
		{-time.Hour, []string{"*.shop.example"}, []string{"a.b.shop.example"}, "not for"},
		{-time.Hour, []string{"a.shop.example"}, []string{"*.shop.example"}, "not for"},
		{-time.Hour, []string{"a"}, nil, ""},
		{-31 * 24 * time.Hour, []string{"a"}, []string{"a"}, "expired"},
		{time.Hour, []string{"a"}, []string{"a"}, "not valid before"},
	} {
		got, err := issue(t, now.Add(c.from), c.names...).Inspect()
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Check(c.hosts, now); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v for %v: %v", c.names, c.hosts, err)
		}
	}
}

func TestKeyPairIsNotPrinted(t *testing.T) {
	p := KeyPair{"cert", "key"}
	if s := fmt.Sprintf("%v %+v %#v %s %x %v", p, p, p, p, p, &p); strings.Contains(s, "key") || strings.Contains(s, "6b6579") {
		t.Error(s)
	}
}
