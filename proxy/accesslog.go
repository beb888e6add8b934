package proxy

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"
)

// accessLog writes a line of JSON for each request, through a buffer: a system call a line would cost more than
// many a request.
type accessLog struct {
	mu  sync.Mutex
	out *bufio.Writer
}

func newAccessLog(w io.Writer) *accessLog {
	if w == nil {
		w = io.Discard
	}
	return &accessLog{out: bufio.NewWriterSize(w, 64<<10)}
}

// accessLine is one request.
type accessLine struct {
	Time      string  `json:"time"`
	RequestID string  `json:"request_id"`
	Remote    string  `json:"remote"`
	Host      string  `json:"host"`
	Method    string  `json:"method"`
	Path      string  `json:"path"` // without the query: that is where tokens are
	Proto     string  `json:"proto"`
	Status    int     `json:"status"`
	Millis    float64 `json:"ms"`
	Bytes     int64   `json:"bytes"`
	Service   string  `json:"service,omitempty"`
	Target    string  `json:"target,omitempty"`
	Release   string  `json:"release,omitempty"`
	UserAgent string  `json:"user_agent,omitempty"`
	Error     string  `json:"error,omitempty"`
}

// maxLogText bounds each text that a client chose.
const maxLogText = 1024

func (l *accessLog) write(r *http.Request, x *exchange, start time.Time) {
	line := accessLine{
		Time: start.UTC().Format("2006-01-02T15:04:05.000Z"), RequestID: clipped(r.Header.Get("X-Request-Id")), Remote: clientAddr(r),
		Host: clipped(r.Host), Method: clipped(r.Method), Path: clipped(r.URL.Path), Proto: r.Proto, Status: x.status,
		Millis: float64(time.Since(start).Microseconds()) / 1000, Bytes: x.bytes, UserAgent: clipped(r.UserAgent()),
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
	b, err := json.Marshal(line)
	if err != nil { // plain values only: cannot happen
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.out.Write(append(b, '\n')) // a log that cannot be written must not stop the traffic
}

func (l *accessLog) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.out.Flush()
}

func clipped(s string) string {
	if len(s) > maxLogText {
		return s[:maxLogText]
	}
	return s
}

func newRequestID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}
