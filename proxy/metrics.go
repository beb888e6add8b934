package proxy

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// metrics are the counters of a proxy since it started, by service; "" is what no service was found for. What can be asked
// of the services themselves is not counted here.
type metrics struct{ services sync.Map } // name -> *serviceMetrics

// serviceMetrics are one service's. What a client chooses is put into a few classes: it must not make series.
type serviceMetrics struct {
	requests [len(methodNames)][len(classNames)]atomic.Int64
	buckets  [len(bucketBounds) + 1]atomic.Int64 // each without those below it; the last one has no bound
	micros   atomic.Int64                        // of all in the buckets
	sent     atomic.Int64                        // bytes of answers' bodies, and of upgraded connections
	switches atomic.Int64                        // commits
	undone   atomic.Int64
	drains   atomic.Int64
	cut      atomic.Int64 // requests, at the end of drains
}

var (
	methodNames  = [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"}
	classNames   = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"} // none: the client was gone, or the connection
	bucketBounds = [...]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
)

func (m *metrics) of(service string) *serviceMetrics {
	if s, ok := m.services.Load(service); ok {
		return s.(*serviceMetrics)
	}
	s, _ := m.services.LoadOrStore(service, &serviceMetrics{})
	return s.(*serviceMetrics)
}

// request counts one that has ended.
func (m *metrics) request(r *http.Request, x *exchange, took time.Duration) {
	name := ""
	if x.service != nil {
		name = x.service.Name
	}
	s := m.of(name)
	s.requests[methodOf(r.Method)][classOf(x.status)].Add(1)
	s.sent.Add(x.bytes.Load())
	if x.status == http.StatusSwitchingProtocols { // how long people stay is no latency
		return
	}
	at := 0
	for at < len(bucketBounds) && took.Seconds() > bucketBounds[at] {
		at++
	}
	s.buckets[at].Add(1)
	s.micros.Add(took.Microseconds())
}

func methodOf(method string) int {
	for i, m := range methodNames {
		if m == method {
			return i
		}
	}
	return len(methodNames) - 1
}

// classOf is the place of a status in classNames. What a target may answer has three digits.
func classOf(status int) int {
	if c := status / 100; c >= 1 && c <= 5 && status != statusClientGone {
		return c
	}
	return 0
}

// drained counts the end of a drain.
func (m *metrics) drained(service string, d Drained) {
	s := m.of(service)
	s.drains.Add(1)
	s.cut.Add(int64(d.InFlight))
}
