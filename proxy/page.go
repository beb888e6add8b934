package proxy

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"strconv"
	"strings"
)

// writePage answers for the proxy itself: JSON for who asks for it, else the service's page, or a small one. retry is in seconds; 0 = none. header are more names and
// their values.
func writePage(w http.ResponseWriter, r *http.Request, status int, text string, retry int, header ...string) {
	h := w.Header()
	clear(h) // what a target set before it failed is not part of this answer
	h.Set("Cache-Control", "no-store")
	h.Set("X-Request-Id", r.Header.Get("X-Request-Id"))
	if retry > 0 {
		h.Set("Retry-After", strconv.Itoa(retry))
	}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	body := []byte(fmt.Sprintf("<!doctype html><title>%d %s</title><h1>%d %s</h1><p>%s</p>\n", status, http.StatusText(status), status, http.StatusText(status), html.EscapeString(text)))
	h.Set("Content-Type", "text/html; charset=utf-8")
	if page := pageFor(w, status); page != nil {
		body = page.with(text)
	}
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		h.Set("Content-Type", "application/json")
		body, _ = json.Marshal(map[string]any{"status": status, "error": text}) // two plain values: cannot fail
		body = append(body, '\n')
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client may be gone
	}
}
