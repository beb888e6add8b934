package h1

import (
	"errors"
	"fmt"
	"net/http"
)

// notSent are headers that say how this connection is used, or that stand elsewhere in the head.
var notSent = map[string]bool{"Host": true, "Connection": true, "Content-Length": true, "Transfer-Encoding": true, "Trailer": true, "Keep-Alive": true, "Proxy-Connection": true}

var errControl = errors.New("a control character")

// appendRequest appends the head of r as it is sent. Nothing in it can end a line early.
func appendRequest(b []byte, r *http.Request) ([]byte, error) {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	target := r.URL.RequestURI()
	if !visible(target) || !visible(host) {
		return b, fmt.Errorf("the request's target or host: %w or a space", errControl)
	}
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	b = append(b, '\r', '\n')
	for name, values := range r.Header {
		if notSent[name] {
			continue
		}
		if !isToken(name) {
			return b, fmt.Errorf("header %.80q: no name", name)
		}
		for _, v := range values {
			if !isText(v) {
				return b, fmt.Errorf("header %.80q: %w", name, errControl)
			}
			b = append(b, name...)
			b = append(b, ':', ' ')
			b = append(b, v...)
			b = append(b, '\r', '\n')
		}
	}
	if r.Close {
		b = append(b, "Connection: close\r\n"...)
	}
	return append(b, '\r', '\n'), nil
}

// visible tells whether s has neither spaces nor control characters.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// isText tells whether s is a field value (RFC 9110, 5.5): no control character but the tab.
func isText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// tokens are the characters of a token (RFC 9110, 5.6.2).
var tokens = func() (t [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		t[c] = true
	}
	return t
}()

func isToken(s string) bool {
	for i := range len(s) {
		if !tokens[s[i]] {
			return false
		}
	}
	return s != ""
}
