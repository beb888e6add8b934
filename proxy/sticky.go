package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
)

// stickyCookie names the replica that a client stays with.
const stickyCookie = "ship_replica"

// badge names a target to clients, and tells them nothing of it.
func badge(service string, t Target) string {
	h := sha256.Sum256([]byte(service + "\x00" + t.ID))
	return hex.EncodeToString(h[:8])
}

// sticks tells whether clients stay with the replica that they met first.
func (s *live) sticks() bool { return s.Sticky && len(s.targets.all) > 1 }

// claim counts a request in with a target: that of its cookie, if it is well, else the one with the least to do. nil: all have
// left.
func (s *live) claim(x *exchange) *upstream {
	if s.sticks() {
		wanted := badgeOf(x.cookies)
		for _, u := range s.targets.all {
			if u.badge == wanted && u.fitness() == fit && u.claim() {
				return u
			}
		}
	}
	return s.targets.claim()
}

func badgeOf(cookies []string) string {
	for _, line := range cookies {
		all, err := http.ParseCookie(line)
		if err != nil { // the app may make more of it
			continue
		}
		for _, c := range all {
			if c.Name == stickyCookie {
				return c.Value
			}
		}
	}
	return ""
}

// stick tells the client which replica has answered, unless it knows.
func stick(resp *http.Response) {
	x := exchangeOf(resp.Request.Context())
	if s := x.service; !s.sticks() || badgeOf(x.cookies) == x.target.badge {
		return
	}
	c := http.Cookie{Name: stickyCookie, Value: x.target.badge, Path: x.service.PathPrefix, HttpOnly: true, Secure: x.secure, SameSite: http.SameSiteLaxMode}
	resp.Header.Add("Set-Cookie", c.String())
}
