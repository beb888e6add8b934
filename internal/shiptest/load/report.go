package load

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Class is a way to fail.
type Class string

// The classes of failures.
const (
	Refused Class = "refused" // nobody listens
	Reset   Class = "reset"   // the connection broke
	Closed  Class = "closed"  // the server closed the connection instead of answering
	Timeout Class = "timeout" // no answer in time
	Status  Class = "status"  // an answer other than 2xx
	Short   Class = "short"   // the answer ended early
	Body    Class = "body"    // the server got another body than was sent
	Order   Class = "order"   // a version that had been replaced, or was not expected yet
	Other   Class = "other"
)

// Failure is one failed request.
type Failure struct {
	At    time.Duration // after the start
	Took  time.Duration
	URL   string
	Kind  Kind
	Class Class
	Err   error
}

func (f Failure) String() string {
	return fmt.Sprintf("%.3fs %s %s %s after %v: %v", f.At.Seconds(), f.URL, f.Kind, f.Class, f.Took.Round(time.Millisecond), f.Err)
}

// Report is what became of the requests.
type Report struct {
	Total, Failed int
	Classes       map[Class]int
	First         []Failure           // at most 20
	Versions      map[string]int      // answers by X-Version
	Sequence      map[string][]string // by URL: the versions in the order in which they took over
	IdleClosed    int                 // connections that the server closed between two requests: no failure
	Again         int                 // requests by HTTP/2 that the server had not begun, by its own word, and that were sent again: no failure
	Kinds         map[Kind]int        // requests of each
	Sockets       []SocketEnd         // WebSockets that the server closed properly: no failure
	P50, P99, Max time.Duration       // of the answers to all but slow requests
	Elapsed       time.Duration
}

func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests in %.1f s, %d failed", r.Total, r.Elapsed.Seconds(), r.Failed)
	for _, c := range slices.Sorted(maps.Keys(r.Classes)) {
		fmt.Fprintf(&b, ", %s %d", c, r.Classes[c])
	}
	fmt.Fprintf(&b, "; p50 %.1f ms, p99 %.1f ms, max %.1f ms", ms(r.P50), ms(r.P99), ms(r.Max))
	for _, f := range r.First {
		b.WriteString("\n  " + f.String())
	}
	return b.String()
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// classify names the way in which a request failed.
func classify(err error) Class {
	var timeout net.Error
	switch {
	case errors.Is(err, errStatus):
		return Status
	case errors.Is(err, errBody), errors.Is(err, errEcho):
		return Body
	case errors.Is(err, errOrder):
		return Order
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Reset
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return Timeout
	case errors.Is(err, io.ErrUnexpectedEOF):
		return Short
	case errors.Is(err, io.EOF):
		return Closed
	}
	return Other
}

var errOrder = errors.New("version out of order")

// firstFailures is how many failures are told one by one.
const firstFailures = 20

// record keeps account while the load runs.
type record struct {
	start  time.Time
	expect []string

	mu      sync.Mutex
	r       Report
	took    []time.Duration
	servers map[string]*server
}

// server is what is known of the versions of one server.
type server struct {
	sequence []string
	since    []time.Time // when each of them first answered
}

func newRecord(expect []string) *record {
	return &record{
		start: time.Now(), expect: expect, servers: map[string]*server{},
		r: Report{Classes: map[Class]int{}, Versions: map[string]int{}, Kinds: map[Kind]int{}},
	}
}

func (c *record) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.Total
}

// add accounts for one request.
func (c *record) add(url string, k Kind, begin, end time.Time, a answer, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.r.Total++
	c.r.Kinds[k]++
	c.r.IdleClosed += a.idle
	c.r.Again += a.again
	if err == nil {
		c.r.Versions[a.version]++
	}
	if err == nil && k != Socket { // which stays with the version that it began with
		err = c.follow(url, begin, end, a.version)
	}
	if err == nil {
		if k != Slow {
			c.took = append(c.took, end.Sub(begin))
		}
		return
	}
	class := classify(err)
	c.r.Failed++
	c.r.Classes[class]++
	if len(c.r.First) < firstFailures {
		c.r.First = append(c.r.First, Failure{begin.Sub(c.start), end.Sub(begin), url, k, class, err})
	}
}

// follow notes which version answered. A request that began before a version first answered may have been answered
// by the one before: it was in flight. One that began later must not.
func (c *record) follow(url string, begin, end time.Time, version string) error {
	s := c.servers[url]
	if s == nil {
		s = &server{}
		c.servers[url] = s
	}
	n := len(s.sequence)
	for i, v := range s.sequence {
		if v == version && (i == n-1 || begin.Before(s.since[i+1])) {
			return nil
		}
	}
	if c.expect != nil && (n >= len(c.expect) || c.expect[n] != version) {
		return fmt.Errorf("%w: %q after %q", errOrder, version, s.sequence)
	}
	s.sequence, s.since = append(s.sequence, version), append(s.since, end)
	return nil
}

// SocketEnd is a WebSocket that the server has closed.
type SocketEnd struct {
	Version string
	At      time.Time
	Code    int // RFC 6455, 7.4
}

func (c *record) socketEnded(e SocketEnd) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.r.Sockets = append(c.r.Sockets, e)
}

func (c *record) report() Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.r
	r.Elapsed = time.Since(c.start)
	r.Classes, r.Versions, r.First = maps.Clone(r.Classes), maps.Clone(r.Versions), slices.Clone(r.First)
	r.Kinds, r.Sockets = maps.Clone(r.Kinds), slices.Clone(r.Sockets)
	r.Sequence = map[string][]string{}
	for url, s := range c.servers {
		r.Sequence[url] = slices.Clone(s.sequence)
	}
	if n := len(c.took); n > 0 {
		took := slices.Sorted(slices.Values(c.took))
		r.P50, r.P99, r.Max = took[n/2], took[n*99/100], took[n-1]
	}
	return r
}
