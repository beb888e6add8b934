package proxy

import (
	"io"
	"mime"
	"net/http"
	"slices"
	"sync"
)

// eventTypes are answers made of events that stand for themselves: an end between two of them is as good as any other.
var eventTypes = [...]string{
	"text/event-stream", "application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-seq", "multipart/x-mixed-replace",
}

// endAtCut makes a stream of events end, properly, at the drain deadline of its target. Every other answer breaks off
// there: a proper end would make a page or a download that was cut short look whole to its client.
func endAtCut(resp *http.Response) {
	t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err == nil && resp.ContentLength < 0 && resp.StatusCode != http.StatusSwitchingProtocols && slices.Contains(eventTypes[:], t) {
		resp.Body = cutBody{resp.Body, exchangeOf(resp.Request.Context()).target}
	}
}

// cutBody ends with io.EOF when the target's life does, whatever the source still has.
type cutBody struct {
	io.ReadCloser
	target *upstream
}

func (b cutBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && b.target.life.Err() != nil {
		err = io.EOF
	}
	return n, err
}

// bufferPool lends what bodies are copied with.
type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 32<<10)
}

func (p *bufferPool) Put(b []byte) { p.pool.Put(&b) }
