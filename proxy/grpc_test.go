package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// frameGRPC puts the head before a message.
func frameGRPC(m ...byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...)
}

func TestParseGRPC(t *testing.T) {
	for name, c := range map[string]struct {
		in   []byte
		want uint64
		err  error
	}{
		"serving":                {frameGRPC(8, 1), 1, nil},
		"no field: unknown":      {frameGRPC(), 0, nil},
		"large":                  {frameGRPC(8, 0x80, 1), 128, nil},
		"the last one counts":    {frameGRPC(8, 1, 8, 2), 2, nil},
		"other fields":           {frameGRPC(0x12, 2, 'a', 'b', 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8, 0x28, 9, 8, 1), 1, nil},
		"nothing":                {nil, 0, errGRPC},
		"compressed":             {[]byte{1, 0, 0, 0, 2, 8, 1}, 0, errGRPC},
		"short":                  {[]byte{0, 0, 0, 0, 3, 8, 1}, 0, errGRPC},
		"two messages":           {append(frameGRPC(8, 1), frameGRPC(8, 1)...), 0, errGRPC},
		"status is a text":       {frameGRPC(10, 1, 'a'), 0, errGRPC},
		"field 0":                {frameGRPC(0, 1), 0, errGRPC},
		"a group":                {frameGRPC(0x13), 0, errGRPC},
		"half a number":          {frameGRPC(8, 0x80), 0, errGRPC},
		"text longer than it is": {frameGRPC(0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), 0, errGRPC},
		"half of eight bytes":    {frameGRPC(0x21, 1, 2), 0, errGRPC},
	} {
		if got, err := parseGRPC(c.in); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
}

func FuzzParseGRPC(f *testing.F) {
	f.Add(frameGRPC(8, 1))
	f.Add(frameGRPC(0x12, 2, 'a', 'b', 0x1d, 1, 2, 3, 4, 8, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := parseGRPC(b); err != nil && n != 0 {
			t.Errorf("%d, %v", n, err)
		}
	})
}

// health is an app that has a health service, and what that says.
type health struct {
	kind, code, message string
	body                []byte
	whole               bool // all is in the head of the answer
}

func (h health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil || r.ProtoMajor != 2 || r.Method != http.MethodPost || r.Header.Get("Te") != "trailers" || !bytes.Equal(b, frameGRPC(append([]byte{10, 4}, "shop"...)...)) {
		http.Error(w, "wrong", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", h.kind)
	prefix := http.TrailerPrefix
	if h.whole {
		prefix = ""
	}
	w.Header().Set(prefix+"Grpc-Status", h.code)
	w.Header().Set(prefix+"Grpc-Message", h.message)
	_, _ = w.Write(h.body)
}

// TestGRPCCheck asks a real server over HTTP/2 without TLS.
func TestGRPCCheck(t *testing.T) {
	const kind = "application/grpc"
	for name, c := range map[string]struct {
		h    health
		want string // of the error; "" = healthy
	}{
		"serving":           {health{kind: kind + "+proto", code: "0", body: frameGRPC(8, 1)}, ""},
		"not serving":       {health{kind: kind, code: "0", body: frameGRPC(8, 2)}, "health service says NOT_SERVING"},
		"a status to come":  {health{kind: kind, code: "0", body: frameGRPC(8, 77)}, "says status 77"},
		"no such service":   {health{kind: kind, code: "5", whole: true}, "does not know the service"},
		"no health service": {health{kind: kind, code: "12", whole: true}, "has no grpc.health"},
		"an error":          {health{kind: kind, code: "14", message: "down", body: frameGRPC(8, 1)}, `grpc-status "14": down`},
		"no status":         {health{kind: kind, body: frameGRPC(8, 1)}, `grpc-status ""`},
		"a page":            {health{kind: "text/html", code: "0"}, "that is no gRPC"},
		"too long":          {health{kind: kind, code: "0", body: make([]byte, maxGRPCAnswer+1)}, "more than 4096 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			g, a := start(t), newApp(t, "v1", func(s *http.Server) {
				s.Protocols = new(http.Protocols)
				s.Protocols.SetHTTP1(true)
				s.Protocols.SetUnencryptedHTTP2(true)
			})
			a.Handle(grpcPath, c.h)
			_, err := g.Prepare(t.Context(), PrepareRequest{Service: Service{Name: "a", Health: HealthCheck{Type: CheckGRPC, Service: "shop"}}, Target: a.Target, Generation: 1, Timeout: 300 * time.Millisecond}, nil)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var u *UnhealthyError
			if !errors.As(err, &u) || !strings.Contains(err.Error(), "gRPC health check of "+a.Address) || !strings.Contains(err.Error(), c.want) || !strings.Contains(u.Hint(), "healthcheck.service") {
				t.Errorf("%v\nhint: %s", err, u.Hint())
			}
		})
	}
}
