package proxy

import (
	"io"
	"net/http"
	"sync"
)

// endAtCut makes an answer without a known length end, properly, at the drain deadline of its target. One of known
// length breaks off there, so that its client sees that it is not whole.
func endAtCut(resp *http.Response) error {
	if resp.ContentLength < 0 && resp.StatusCode != http.StatusSwitchingProtocols {
		resp.Body = cutBody{resp.Body, exchangeOf(resp.Request.Context()).target}
	}
	return nil
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
