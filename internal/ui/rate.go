package ui

import (
	"math"
	"time"
)

const (
	speedMemory  = 3  // seconds, in which a sample's weight in the speed falls to about a third
	steadyMemory = 15 // the same for the time left: it shall not jump when a chunk comes late
	shownFor     = time.Second
)

// rate is bytes a second over the last seconds: what is longer ago counts less.
type rate struct {
	at            time.Time
	done          int64
	speed, steady average
	value         float64 // the speed as it is shown, which changes once a second so that it can be read
	shownAt       time.Time
	known         bool
}

// average is a sum of bytes and of the seconds in which they came, both fading.
type average struct{ bytes, seconds float64 }

func (a *average) add(bytes, seconds, memory float64) {
	keep := math.Exp(-seconds / memory)
	a.bytes, a.seconds = a.bytes*keep+bytes, a.seconds*keep+seconds
}

// sample takes in how much is done by now.
func (r *rate) sample(done int64, now time.Time) {
	dt := now.Sub(r.at).Seconds()
	if r.at.IsZero() || dt < 0 {
		r.at, r.done = now, done
		return
	}
	if dt < 0.05 {
		return
	}
	came := max(0, float64(done)-float64(r.done))
	r.speed.add(came, dt, speedMemory)
	r.steady.add(came, dt, steadyMemory)
	r.at, r.done = now, done
	if !r.known || now.Sub(r.shownAt) >= shownFor {
		r.value, r.shownAt = r.speed.bytes/r.speed.seconds, now
	}
	r.known = r.speed.seconds > 0.45
}

// left is how long the rest takes at this rate; ok = false if nobody can say.
func (r *rate) left(done, total int64) (time.Duration, bool) {
	if !r.known || total <= done {
		return 0, false
	}
	steady := r.steady.bytes / r.steady.seconds
	if steady < 1 {
		return 0, false
	}
	seconds := (float64(total) - float64(done)) / steady
	return time.Duration(min(seconds, 1e9) * float64(time.Second)), seconds < 100*3600
}
