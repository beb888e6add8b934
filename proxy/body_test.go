package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// TestCutShort tells apart, at the drain deadline, what may end there and what must be seen to be cut.
func TestCutShort(t *testing.T) {
	const part = "{\"row\":1}\n"
	for contentType, whole := range map[string]bool{
		"text/event-stream; charset=utf-8": true, "application/x-ndjson": true,
		"application/json": false, "text/html": false, "text/csv": false, "": false,
	} {
		g, one, two := start(t), newApp(t, "one"), newApp(t, "two")
		one.HandleFunc("/rows", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			fmt.Fprint(w, part)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		g.deploy(Service{Name: "a"}, one.Target, 1)
		resp := g.send("GET", "/rows", nil)
		g.deploy(Service{Name: "a"}, two.Target, 2)
		if d, err := g.Drain(t.Context(), "a", one.ID, 20*time.Millisecond); err != nil || d.InFlight != 1 {
			t.Errorf("%q: drain: %+v, %v", contentType, d, err)
		}
		b, err := io.ReadAll(resp.Body)
		if string(b) != part || whole && err != nil || !whole && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %q, %v; want a proper end: %v", contentType, b, err, whole)
		}
	}
}
