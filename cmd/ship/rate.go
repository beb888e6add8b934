package main

import "ship/internal/sshx"

// rate is a flag in bytes a second, written as bits or bytes: 80mbit, 10MB.
type rate int64

// UnmarshalText reads the flag.
func (r *rate) UnmarshalText(b []byte) error {
	n, err := sshx.ParseRate(string(b))
	*r = rate(n)
	return err
}

// limit is what all connections of this run share; nil = no limit. The flag wins over the configuration's configured
// bytes a second.
func (d *deps) limit(configured int64) *sshx.Limiter {
	if d.BWLimit > 0 {
		configured = int64(d.BWLimit)
	}
	if d.limiter == nil && configured > 0 {
		d.limiter = sshx.NewLimiter(configured)
	}
	return d.limiter
}
