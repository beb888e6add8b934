package acme

import (
	"hash/fnv"
	"time"
)

// Renewal is when a certificate should be replaced: when two thirds of its time are over, and, by a sixth of it at most,
// later on some hosts than on others. Authorities limit how many of the same a week may have.
func Renewal(notBefore, notAfter time.Time, host string) time.Time {
	life := notAfter.Sub(notBefore)
	h := fnv.New32a()
	_, _ = h.Write([]byte(host)) // never fails
	spread := time.Duration(float64(life) / 6 * float64(h.Sum32()) / (1 << 32))
	return notBefore.Add(life*2/3 + spread)
}

// Pause is how long to wait after so many failures in a row, and what the authority asked for: from a minute to six hours.
func Pause(failures int, asked time.Duration) time.Duration {
	const least, most = time.Minute, 6 * time.Hour
	p := most
	if failures < 10 {
		p = min(most, least<<max(0, failures-1))
	}
	return min(max(p, asked), 24*time.Hour)
}

// MayBeToken tells whether s is a challenge's token: base64url of bounded length (RFC 8555, 8.1).
func MayBeToken(s string) bool {
	if s == "" || len(s) > 256 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
