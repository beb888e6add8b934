package peer

import (
	"slices"
	"time"
)

const (
	// lateFactor: a chunk that takes so many times the median is late.
	lateFactor = 4
	// leastLate: what comes sooner is never late.
	leastLate = 100 * time.Millisecond
	// firstLate is what counts as late before anything has come.
	firstLate = 2 * time.Second
)

// pace is how long chunks take from the request to the last byte, of late and on all links.
type pace struct {
	last   [64]time.Duration
	n      int // of all so far
	median time.Duration
}

func (p *pace) add(d time.Duration) {
	p.last[p.n%len(p.last)] = d
	p.n++
	recent := slices.Clone(p.last[:min(p.n, len(p.last))])
	slices.Sort(recent)
	p.median = recent[len(recent)/2]
}

// late is how long a chunk may take before it is asked of somebody else as well.
func (p *pace) late() time.Duration {
	if p.n == 0 {
		return firstLate
	}
	return max(leastLate, lateFactor*p.median)
}
