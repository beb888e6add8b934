package helper

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"ship/transfer/chunk"
	"ship/transfer/wire"
)

// handle does what one frame of the controller says; long work goes on beside. An error ends the session.
func (s *session) handle(ctx context.Context, k wire.Kind, p []byte) error {
	switch k {
	case wire.KindPing:
		return s.control.Send(wire.KindPong)
	case wire.KindOpen:
		return parsed(p, s.openBlob)
	case wire.KindAnnounce:
		a, err := wire.ParseAnnounce(p)
		if err != nil {
			return err
		}
		s.later(a.Blob, func(b *blob) error { return s.announce(b, a) })
		return nil
	case wire.KindFinish:
		f, err := wire.ParseFinish(p)
		if err != nil {
			return err
		}
		s.later(f.Blob, func(b *blob) error { return s.finish(b, f) })
		return nil
	case wire.KindDrop:
		id, _, err := wire.ParseID(p)
		if err != nil {
			return err
		}
		s.drop(id)
		return nil
	case wire.KindPeer:
		return parsed(p, func(x wire.Peer) error { s.tasks.Go(func() { s.link(ctx, x) }); return nil })
	case wire.KindPlace:
		return parsed(p, func(x wire.Peer) error { s.tasks.Go(func() { s.place(ctx, x) }); return nil })
	case wire.KindProduce:
		return parsed(p, func(x wire.Produce) error { return s.produce(ctx, x) })
	case wire.KindRead:
		c, err := wire.ParseChunk(p)
		if err != nil {
			return err
		}
		return s.readUp(c)
	case wire.KindLoad, wire.KindLoadData, wire.KindLoadEnd, wire.KindAbort:
		id, data, err := wire.ParseID(p)
		if err != nil {
			return err
		}
		return s.handleLoad(ctx, k, id, data)
	case wire.KindSign:
		return parsed(p, func(x wire.Sign) error { s.tasks.Go(func() { s.sign(ctx, x) }); return nil })
	}
	return fmt.Errorf("%w: kind %d", wire.ErrFrame, k)
}

func parsed[T any](p []byte, do func(T) error) error {
	x, err := wire.Parse[T](p)
	if err != nil {
		return err
	}
	return do(x)
}

// blob is an open blob of this run.
type blob struct {
	*chunk.Blob
	name string
	own  bool // made here

	mu   sync.Mutex
	list []func() // still to be done, in order
}

// later does something for a blob after all that was asked before, without keeping the controller from being heard: to
// hash what an earlier run has left takes as long as the disk does. A blob that could not be opened, which was told, and
// one that is made here need nothing.
func (s *session) later(id uint32, do func(*blob) error) {
	b := s.blob(id)
	if b == nil || b.own {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = append(b.list, func() {
		if err := do(b); err != nil && !errors.Is(err, chunk.ErrClosed) { // it was dropped or opened again meanwhile
			s.stop(err)
		}
	})
	if len(b.list) == 1 {
		s.tasks.Go(b.work)
	}
}

// work empties the list; who begins one starts it.
func (b *blob) work() {
	for {
		b.mu.Lock()
		do := b.list[0]
		b.mu.Unlock()
		do()
		b.mu.Lock()
		b.list = b.list[1:]
		done := len(b.list) == 0
		b.mu.Unlock()
		if done {
			return
		}
	}
}

// openBlob opens a blob. Who opens a number or a name again has given up the blob that was open under it: that one is
// closed first, for its chunks are locked until then.
func (s *session) openBlob(o wire.Open) error {
	s.closeBlobs(func(id uint32, b *blob) bool { return id == o.Blob || b.name == o.Name })
	b, err := s.store.Blob(chunk.Name(o.Name))
	if err != nil {
		return s.failed(o.Blob, err)
	}
	s.mu.Lock()
	s.blobs[o.Blob] = &blob{Blob: b, name: o.Name}
	s.mu.Unlock()
	s.node.Add(o.Blob, b)
	return nil
}

// closeBlobs closes the blobs that are given up, and keeps what is held of them.
func (s *session) closeBlobs(givenUp func(id uint32, b *blob) bool) {
	s.mu.Lock()
	old := make(map[uint32]*blob)
	for id, b := range s.blobs {
		if givenUp(id, b) {
			old[id] = b
			delete(s.blobs, id)
		}
	}
	s.mu.Unlock()
	for id, b := range old {
		s.node.Drop(id)
		b.Close()
	}
}

func (s *session) blob(id uint32) *blob {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blobs[id]
}

// announce takes in digests, and tells which of their chunks an earlier run has left here.
// A blob that is closed meanwhile is chunk.ErrClosed.
func (s *session) announce(b *blob, a wire.Announce) error {
	sums := make([]chunk.Sum, len(a.Sums))
	for i, x := range a.Sums {
		sums[i] = x
	}
	have, err := b.Announce(int(a.First), sums)
	if errors.Is(err, chunk.ErrClosed) {
		return err
	}
	if err != nil {
		return s.failed(a.Blob, err)
	}
	s.node.Announced(a.Blob)
	h := wire.Have{Blob: a.Blob}
	for i, there := range have {
		if there {
			h.Items = append(h.Items, wire.HaveItem{Index: a.First + uint32(i), From: wire.FromSpool})
		}
	}
	if len(h.Items) > 0 {
		if err := s.control.SendHave(h); err != nil {
			return err
		}
	}
	return s.control.SendSeen(wire.Seen{Blob: a.Blob, Upto: a.First + uint32(len(a.Sums))})
}

func (s *session) finish(b *blob, f wire.Finish) error {
	err := b.Finish(f.Size)
	if err == nil || errors.Is(err, chunk.ErrClosed) {
		return err
	}
	return s.failed(f.Blob, err)
}

func (s *session) drop(id uint32) {
	s.mu.Lock()
	b := s.blobs[id]
	delete(s.blobs, id)
	s.mu.Unlock()
	if b != nil {
		s.node.Drop(id)
		b.Remove()
	}
}

func (s *session) readUp(c wire.Chunk) error {
	b := s.blob(c.Blob)
	if b == nil {
		return nil
	}
	data, err := b.Get(int(c.Index), nil)
	if err != nil {
		return s.failed(c.Blob, err)
	}
	return s.control.SendChunk(wire.KindChunkUp, wire.Chunk{Blob: c.Blob, Index: c.Index, Data: data})
}

// failed tells that a blob will not come to be here.
func (s *session) failed(id uint32, err error) error {
	return s.control.SendJSON(wire.KindFailed, failure(id, err))
}

func failure(id uint32, err error) wire.Failed {
	return wire.Failed{ID: id, Error: err.Error(), Full: errors.Is(err, syscall.ENOSPC)}
}
