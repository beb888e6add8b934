package proxy

import (
	"cmp"
	crand "crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// accessLog writes a line of JSON for each request. Requests only append to a buffer: a system call a line would cost
// more than many a request, and a reader that hangs must not stop the traffic.
type accessLog struct {
	out  io.Writer
	skip float64       // share of the requests that are left out; those that failed never are
	full chan struct{} // there is enough to write

	mu      sync.Mutex
	pending []byte
	spare   []byte
	dropped int // lines
}

const (
	enoughLog  = 32 << 10
	maxPending = 4 << 20 // what does not fit is counted, not kept
	flushEvery = time.Second
)

func newAccessLog(w io.Writer, skip float64) *accessLog {
	if w == nil {
		w = io.Discard
	}
	return &accessLog{out: w, skip: skip, full: make(chan struct{}, 1)}
}

// run writes until done is closed, and what is left then.
func (l *accessLog) run(done <-chan struct{}) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.full:
		case <-done:
			l.flush()
			return
		}
		l.flush()
	}
}

func (l *accessLog) flush() {
	l.mu.Lock()
	b := l.pending
	if l.dropped > 0 {
		b = fmt.Appendf(b, `{"time":%q,"dropped":%d}`+"\n", stamp(time.Now()), l.dropped)
	}
	l.pending, l.dropped = l.spare[:0], 0
	l.mu.Unlock()
	if len(b) > 0 {
		_, _ = l.out.Write(b) // a log that cannot be written must not stop the traffic
	}
	l.spare = b // only flush touches it, and flush has one caller
}

func (l *accessLog) add(line accessLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.pending)
	l.pending = line.append(l.pending)
	if len(l.pending) > maxPending {
		l.pending = l.pending[:before]
		l.dropped++
		return
	}
	if len(l.pending) >= enoughLog {
		select {
		case l.full <- struct{}{}:
		default:
		}
	}
}

func stamp(t time.Time) string { return t.UTC().Format(stampFormat) }

// maxLogText bounds each text that a client chose.
const maxLogText = 1024

func (l *accessLog) write(r *http.Request, x *exchange, start time.Time) {
	wrong := x.failure != nil || x.status >= http.StatusInternalServerError
	if !wrong && l.skip > 0 && rand.Float64() < l.skip {
		return
	}
	line := accessLine{
		Time: start, RequestID: clipped(r.Header.Get("X-Request-Id")), Remote: cmp.Or(x.origin.client, clientAddr(r)),
		Host: clipped(r.Host), Method: clipped(r.Method), Path: clipped(r.URL.Path), Query: redactedQuery(r.URL.RawQuery), Proto: r.Proto, Status: x.status,
		Millis: float64(time.Since(start).Microseconds()) / 1000, Bytes: x.bytes.Load(), UserAgent: clipped(r.UserAgent()),
	}
	if x.service != nil {
		line.Service = x.service.Name
	}
	if x.target != nil {
		line.Target, line.Release = x.target.Address, x.target.Release
	}
	if x.failure != nil {
		line.Error = printable(x.failure.Error(), 200)
	}
	if !wrong && l.skip > 0 {
		line.Sample = math.Round((1-l.skip)*1e6) / 1e6
	}
	l.add(line)
}

func clipped(s string) string {
	if len(s) > maxLogText {
		return s[:maxLogText]
	}
	return s
}

func newRequestID() string {
	var b [12]byte
	_, _ = crand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// quiet is for what clients do wrong: it is not worth a line each.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
