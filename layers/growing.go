package layers

import (
	"context"
	"fmt"
	"io/fs"
	"sync"
)

// Growing is a blob that can be read while it is being made. Its bytes are verified only at the end: whoever passes
// them on before has to be ready to take them back. It is safe for concurrent use.
type Growing struct {
	spool  *Spool
	making *making

	gone chan struct{} // closed = gave up its share of the making
	stop func() bool   // ends the watch on the context of Grow

	mu     sync.Mutex
	left   bool
	closed bool
}

// Grow starts the making of the blob that Blob returns, or joins it, and returns at once. Who asks first is served
// first. The making goes on until nobody wants it any more: a Growing wants it until ctx ends or it is closed. The
// caller closes it in any case.
func (s *Spool) Grow(ctx context.Context, img *Image, i int, want Accept) (*Growing, error) {
	key := blobKey{img.Layers[i].DiffID, encodingFor(img.Layers[i].Blob.Compression, want)}
	m, err := s.join(ctx, key, true, func() job { return s.blobJob(img, i, key.encoding) })
	if err != nil {
		return nil, err
	}
	return s.grow(ctx, m), nil
}

// grow makes a Growing of a share in m.
func (s *Spool) grow(ctx context.Context, m *making) *Growing {
	g := &Growing{spool: s, making: m, gone: make(chan struct{})}
	g.stop = context.AfterFunc(ctx, g.leave)
	return g
}

// Compression of the blob.
func (g *Growing) Compression() Compression { return g.making.key.encoding }

// Wait returns when at least n bytes can be read, or all of them: then whole is true, and they are what they should be.
// Its error is the making's, for good, or that of a context that ended. One that is ErrTryAgain means that to grow the
// blob anew may succeed.
func (g *Growing) Wait(ctx context.Context, n int64) (have int64, whole bool, err error) {
	m := g.making
	err = m.until(ctx, g.gone, func() bool {
		have, whole = m.have, m.whole
		if have < n && !whole {
			return false
		}
		m.promised = max(m.promised, have)
		return true
	})
	return have, whole, err
}

// ReadAt reads bytes that Wait promised, as io.ReaderAt does, until Close.
func (g *Growing) ReadAt(p []byte, off int64) (int, error) {
	g.mu.Lock()
	closed := g.closed
	g.mu.Unlock()
	if closed {
		return 0, fmt.Errorf("read growing blob: %w", fs.ErrClosed)
	}
	m := g.making
	m.mu.Lock()
	bytes, promised, whole := m.bytes, m.promised, m.whole
	m.mu.Unlock()
	if off < 0 || int64(len(p)) > promised-off && !whole {
		return 0, fmt.Errorf("read growing blob: %d bytes at %d, of %d that were promised", len(p), off, promised)
	}
	if len(p) == 0 {
		return 0, nil
	}
	return bytes.ReadAt(p, off)
}

// Blob waits until the blob is whole.
func (g *Growing) Blob(ctx context.Context) (Blob, error) {
	m := g.making
	err := m.until(ctx, g.gone, func() bool { return m.whole })
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		return Blob{}, err
	}
	return m.blob, nil
}

// Close gives up the share in the making, and the bytes.
func (g *Growing) Close() error {
	g.stop()
	g.leave()
	g.mu.Lock()
	again := g.closed
	g.closed = true
	g.mu.Unlock()
	if again {
		return nil
	}
	return g.spool.drop(g.making)
}

// leave gives up the share in the making.
func (g *Growing) leave() {
	g.mu.Lock()
	again := g.left
	g.left = true
	g.mu.Unlock()
	if !again {
		close(g.gone)
		g.spool.leave(g.making)
	}
}
