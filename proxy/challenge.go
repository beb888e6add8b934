package proxy

import (
	"io"
	"net/http"
	"strings"

	"ship/proxy/acme"
)

// challengePath is where an authority asks (RFC 8555, 8.3).
const challengePath = "/.well-known/acme-challenge/"

// answers are what challenges are answered with, by host: the thumbprints of accounts.
type answers map[string]string

// newAnswers is for the hosts of the enrolments, and for those of what serves: before a cutover, or after a rollback, these are
// others.
func newAnswers(all map[string]*enrolled, services map[string]*service) answers {
	out := answers{}
	for name, e := range all {
		print, err := e.Thumbprint()
		if err != nil { // its key was read when it was enrolled
			continue
		}
		if s := services[name]; s.automatic() {
			for _, h := range s.live.Hosts {
				out[h] = print
			}
		}
		for _, h := range e.Hosts {
			out[h] = print
		}
	}
	return out
}

// challenge answers an authority, and tells whether it has. Nothing may come before it, neither https nor who is let in: the
// authority comes by http, from anywhere. A token of any other host's order is as good as one of ours.
func (g *gate) challenge(w http.ResponseWriter, r *http.Request, x *exchange) bool {
	token, ok := strings.CutPrefix(x.path, challengePath)
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	all := g.secure.answers.Load()
	if all == nil || (*all)[x.host] == "" || !acme.MayBeToken(token) {
		return false
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = io.WriteString(w, token+"."+(*all)[x.host]) // who is gone asks again
	return true
}
