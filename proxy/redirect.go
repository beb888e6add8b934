package proxy

import (
	"net"
	"net/http"
)

// redirect sends the client to the same address of another host.
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
	sendTo(w, r, scheme+"://"+host+r.URL.RequestURI())
}

// sendTo tells the client to make the same request elsewhere: method and body stay (308).
func sendTo(w http.ResponseWriter, r *http.Request, place string) {
	h := w.Header()
	h.Set("Location", place)
	h.Set("X-Request-Id", r.Header.Get("X-Request-Id"))
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusPermanentRedirect)
}
