package proxy

import (
	"net"
	"net/http"
)

// redirect sends the client to the same address of another host, with the same method and body (308).
func redirect(w http.ResponseWriter, r *http.Request, host string, o origin) {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	if p := r.Header.Get("X-Forwarded-Proto"); o.trusted && p == "https" {
		scheme = p
	}
	if _, port, err := net.SplitHostPort(r.Host); err == nil && port != "" {
		host = net.JoinHostPort(host, port) // the one by which the client reached us
	}
	h := w.Header()
	h.Set("Location", scheme+"://"+host+r.URL.RequestURI())
	h.Set("X-Request-Id", r.Header.Get("X-Request-Id"))
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusPermanentRedirect)
}
