package acme

import (
	"bytes"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestAnswersAreBounded: an authority that sends without end is read to the bound, and its words are cut.
func TestAnswersAreBounded(t *testing.T) {
	for name, answer := range map[string]struct {
		status int
		text   string
	}{"a directory": {200, "{\"newNonce\": \""}, "a problem": {500, "{\"type\": \"x\", \"detail\": \""}, "no JSON": {400, ""}} {
		t.Run(name, func(t *testing.T) {
			var sent atomic.Int64
			srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(answer.status)
				_, err := w.Write([]byte(answer.text))
				for b := bytes.Repeat([]byte("x"), 1<<20); err == nil && sent.Load() < 200<<20; {
					var n int
					n, err = w.Write(b)
					sent.Add(int64(n))
				}
			}))
			defer srv.Close()
			key, err := NewKey()
			if err != nil {
				t.Fatal(err)
			}
			e := Enrolment{Hosts: []string{"shop.example"}, Directory: srv.URL, Key: key, Roots: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))}
			_, _, err = Order(t.Context(), e)
			if err == nil || len(err.Error()) > 3*maxWords {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if n := sent.Load(); n > 100<<20 { // several tries, and what sockets hold
				t.Errorf("%d bytes were taken", n)
			}
		})
	}
}

func TestVouched(t *testing.T) {
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	chain := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})) // signed by itself, for example.com
	public := Enrolment{Hosts: []string{"example.com"}}
	if err := public.Vouched(chain, time.Now()); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("signed by nobody: %v", err)
	}
	for _, bad := range []string{"", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if err := public.Vouched(bad, time.Now()); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
	if err := (Enrolment{Hosts: public.Hosts, Directory: "https://ca.example/"}).Vouched(chain, time.Now()); err != nil {
		t.Errorf("of a private authority: %v", err)
	}
	if _, _, err := Order(t.Context(), public); err == nil || errors.Is(err, http.ErrServerClosed) {
		t.Errorf("an order without an account's key: %v", err)
	}
}
