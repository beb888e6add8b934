package proxy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxErrorPages bounds the error pages of a service, all together and each, in bytes.
const MaxErrorPages = 256 << 10

// ErrorStatuses are the answers of the proxy itself that a service may have pages of its own for, lowest first. What the app
// answers is never replaced.
func ErrorStatuses() []int {
	return []int{
		http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
	}
}

// PageHash names a page by what is in it: the SHA-256 in hex.
func PageHash(page []byte) string {
	h := sha256.Sum256(page)
	return hex.EncodeToString(h[:])
}

// CheckErrorPage tells what is wrong with a page. It is HTML in UTF-8, and {{ .Message }} in it stands for what the proxy has
// to say, escaped for text and for quoted attributes. There is no other placeholder.
func CheckErrorPage(page []byte) error {
	_, err := parseErrorPage(page)
	return err
}

// errorPage is a page, cut where the message goes.
type errorPage []string

func (p errorPage) with(message string) []byte {
	return []byte(strings.Join(p, html.EscapeString(message)))
}

func parseErrorPage(page []byte) (errorPage, error) {
	switch {
	case len(page) == 0:
		return nil, errors.New("it is empty")
	case len(page) > MaxErrorPages:
		return nil, fmt.Errorf("it has more than %d bytes", MaxErrorPages)
	case !utf8.Valid(page):
		return nil, errors.New("it is not UTF-8")
	}
	var p errorPage
	rest := string(page)
	for {
		before, after, found := strings.Cut(rest, "{{")
		p = append(p, before)
		if !found {
			return p, nil
		}
		name, behind, closed := strings.Cut(after, "}}")
		if !closed || strings.TrimSpace(name) != ".Message" {
			line := 1 + bytes.Count(page[:len(page)-len(after)], []byte("\n"))
			return nil, fmt.Errorf("line %d: {{ begins what is not {{ .Message }}, the only placeholder", line)
		}
		rest = behind
	}
}

// checkErrorPages is for the names of a service's pages.
func checkErrorPages(pages map[string]string) error {
	known := map[string]bool{}
	for _, status := range ErrorStatuses() {
		known[strconv.Itoa(status)] = true
	}
	for status, hash := range pages {
		if !known[status] {
			return fmt.Errorf("error page %.20q: this proxy has no such answer of its own", status)
		}
		if !isPageHash(hash) {
			return fmt.Errorf("error page %s: %.80q is no SHA-256", status, hash)
		}
	}
	return nil
}

func isPageHash(s string) bool {
	return len(s) == hex.EncodedLen(sha256.Size) && strings.Trim(s, "0123456789abcdef") == ""
}

// pageFor is the service's own page for an answer of the proxy; nil = it has none, or no service was found.
func pageFor(w http.ResponseWriter, status int) errorPage {
	rec, ok := w.(*recorder)
	if !ok || rec.x.service == nil {
		return nil
	}
	return rec.x.service.pages[status]
}
