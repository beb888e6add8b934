package proxy

import (
	"encoding/json"
	"strconv"
	"time"
)

// accessLine is one request, as it stands in the access log.
type accessLine struct {
	Time      time.Time `json:"time"` // to the millisecond
	RequestID string    `json:"request_id"`
	Remote    string    `json:"remote"`
	Host      string    `json:"host"`
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	Query     string    `json:"query,omitempty"` // without what looks like a secret
	Proto     string    `json:"proto"`
	Status    int       `json:"status"`
	Millis    float64   `json:"ms"`
	Bytes     int64     `json:"bytes"`
	Service   string    `json:"service,omitempty"`
	Target    string    `json:"target,omitempty"`
	Release   string    `json:"release,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`
	Error     string    `json:"error,omitempty"`
	Sample    float64   `json:"sample,omitempty"` // the line stands for 1/Sample requests; 0 = for one
}

const stampFormat = "2006-01-02T15:04:05.000Z"

// append appends the line as JSON, as its tags say. Every request pays for it: package json takes three times as
// long (BenchmarkAccessLine).
func (l *accessLine) append(b []byte) []byte {
	b = append(b, `{"time":"`...)
	b = l.Time.UTC().AppendFormat(b, stampFormat)
	b = append(b, '"')
	b = appendText(b, "request_id", l.RequestID)
	b = appendText(b, "remote", l.Remote)
	b = appendText(b, "host", l.Host)
	b = appendText(b, "method", l.Method)
	b = appendText(b, "path", l.Path)
	b = appendSome(b, "query", l.Query)
	b = appendText(b, "proto", l.Proto)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(l.Status), 10)
	b = strconv.AppendFloat(append(b, `,"ms":`...), l.Millis, 'f', -1, 64)
	b = strconv.AppendInt(append(b, `,"bytes":`...), l.Bytes, 10)
	b = appendSome(b, "service", l.Service)
	b = appendSome(b, "target", l.Target)
	b = appendSome(b, "release", l.Release)
	b = appendSome(b, "user_agent", l.UserAgent)
	b = appendSome(b, "error", l.Error)
	if l.Sample != 0 {
		b = strconv.AppendFloat(append(b, `,"sample":`...), l.Sample, 'f', -1, 64)
	}
	return append(b, '}', '\n')
}

func appendSome(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	return appendText(b, name, text)
}

// appendText appends a member of an object that is not the first.
func appendText(b []byte, name, text string) []byte {
	b = append(append(append(b, ',', '"'), name...), '"', ':')
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(text) // a string is never refused
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}
