package proxy

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// maxRedirects bounds a service's table.
const maxRedirects = 256

// checkRedirects refuses what would never happen, what leads nowhere, and what leads on to another line of the table:
// a chain, or a ring.
func checkRedirects(prefix string, table map[string]string) error {
	if len(table) > maxRedirects {
		return fmt.Errorf("%d redirects, at most %d are allowed", len(table), maxRedirects)
	}
	for from, to := range table {
		if !strings.HasPrefix(from, "/") || len(from) > maxPath || strings.ContainsFunc(from, func(r rune) bool { return r < ' ' || r == 0x7f || r == '?' || r == '#' }) {
			return fmt.Errorf("redirect from %.80q: want a path", from)
		}
		if !underPrefix(from, prefix) {
			return fmt.Errorf("redirect from %.80q: requests for it do not come here, but those below %s", from, prefix)
		}
		u, err := parseMoved(to)
		if err != nil {
			return fmt.Errorf("redirect from %.80q: %w", from, err)
		}
		if _, on := table[u.Path]; on && u.Host == "" {
			return fmt.Errorf("redirect from %.80q to %.80q: that is redirected itself", from, to)
		}
	}
	return nil
}

// parseMoved reads where a redirect leads: a path here, perhaps with a query, or a whole address.
func parseMoved(s string) (*url.URL, error) {
	bad := fmt.Errorf("%.80q: want a path, as in /new, or an address, as in https://example.com/new", s)
	if len(s) > maxPath || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }) {
		return nil, bad
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, bad
	}
	here := u.Scheme == "" && u.Host == "" && strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//")
	there := (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
	if !here && !there {
		return nil, bad
	}
	return u, nil
}

// moved answers a request for what is elsewhere now, with its query, unless the new place has one of its own.
func (s *live) moved(w http.ResponseWriter, r *http.Request, path string) bool {
	to, ok := s.Redirects[path]
	if !ok {
		return false
	}
	if q := r.URL.RawQuery; q != "" && !strings.ContainsAny(to, "?#") {
		to += "?" + q
	}
	sendTo(w, r, to)
	return true
}
