package acme

import (
	"hash/fnv"
	"time"
)

// Renewal is when a certificate should be replaced: when two thirds of its time are over, and, by a quarter of it at most,
// later on some hosts than on others. Authorities limit how many of the same a week may have: Let's Encrypt five, which is
// sixteen in a quarter of its 90 days.
func Renewal(notBefore, notAfter time.Time, host string) time.Time {
	life := notAfter.Sub(notBefore)
	return notBefore.Add(life*2/3 + time.Duration(float64(life)/4*share(host)))
}

// FirstTry is how long after its enrolment a host orders by itself. Whoever enrols has one of the hosts order for all, and
// only if that fails must the others try: not all at once.
func FirstTry(every time.Duration, host string) time.Duration {
	return every + time.Duration(float64(39*every)*share(host))
}

// share is the same for a host each time, 0 to 1, and spread evenly over many hosts.
func share(host string) float64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(host)) // never fails
	return float64(h.Sum32()) / (1 << 32)
}

// Rest is how long to wait after a certificate was issued before it is renewed, whatever its times: one that is over when it
// comes must not make us order all the time.
func Rest(notBefore, notAfter time.Time) time.Duration {
	return max(0, min(time.Hour, notAfter.Sub(notBefore)/3))
}

// MaxPause is the longest [Pause].
const MaxPause = 24 * time.Hour

// Pause is how long to wait after so many failures in a row, and what the authority asked for: from a minute to six hours.
func Pause(failures int, asked time.Duration) time.Duration {
	const least, most = time.Minute, 6 * time.Hour
	p := most
	if failures < 10 {
		p = min(most, least<<max(0, failures-1))
	}
	return min(max(p, asked), MaxPause)
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
