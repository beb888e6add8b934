package swarm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"ship/transfer/wire"
)

// upPatience is how long a member may take to send a chunk of a blob that it makes.
const upPatience = time.Minute

// up is a chunk on its way from the member that makes its blob, for one or more that have no link to it.
type up struct {
	done chan struct{}
	data []byte // set before done is closed, and only read then
	err  error
}

// readUp fetches a chunk from the member. Whoever wants the same one meanwhile waits for the same answer.
func (m *Member) readUp(ctx context.Context, b *blob, i int) ([]byte, error) {
	k := key{b, i}
	m.mu.Lock()
	u := m.ups[k]
	first := u == nil
	if first {
		u = &up{done: make(chan struct{})}
		m.ups[k] = u
	}
	m.mu.Unlock()
	if first {
		m.say(func(w *wire.Conn) error { return w.SendChunk(wire.KindRead, wire.Chunk{Blob: b.id, Index: uint32(i)}) })
	}
	late := time.NewTimer(upPatience)
	defer late.Stop()
	select {
	case <-u.done:
		return u.data, u.err
	case <-m.over:
		return nil, fmt.Errorf("%w: %s", ErrMaker, m.Name)
	case <-late.C:
		return nil, fmt.Errorf("%w: %s: no chunk within %s", ErrMaker, m.Name, upPatience)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// answerUp hands a chunk to those who wait for it, if it is what the member announced.
func (m *Member) answerUp(c wire.Chunk) {
	s := m.swarm
	s.mu.Lock()
	var b *blob
	var sum [wire.SumSize]byte
	var size int64 = -1
	if int(c.Blob) < len(s.blobs) && s.blobs[c.Blob].maker == m {
		b = s.blobs[c.Blob]
		if size = b.chunkSize(int(c.Index)); size >= 0 {
			sum = b.sums[c.Index]
		}
	}
	s.mu.Unlock()
	k := key{b, int(c.Index)}
	m.mu.Lock()
	u := m.ups[k]
	delete(m.ups, k)
	m.mu.Unlock()
	if u == nil {
		return
	}
	u.data = append([]byte(nil), c.Data...)
	if int64(len(c.Data)) != size || sha256.Sum256(c.Data) != sum {
		u.data, u.err = nil, fmt.Errorf("%w: %s: %w", ErrMaker, m.Name, errOtherChunk)
	}
	close(u.done)
}

var errOtherChunk = errors.New("it sent another chunk than it had announced")
