package swarm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ship/transfer/chunk"
	"ship/transfer/wire"
)

// blob is what several members want. Fields are guarded by the swarm's mutex.
type blob struct {
	id    uint32
	name  string
	sums  [][wire.SumSize]byte
	told  []time.Time        // when each of sums was announced
	had   []time.Time        // when the first of those who want it had each chunk; zero = nobody yet
	asked time.Time          // when it was first wanted
	size  int64              // -1 = not known yet
	whole [wire.SumSize]byte // digest, once size is known
	tail  int64              // bytes of the last chunk of sums
	src   Source
	maker *Member // that holds the layer and makes the blob; nil = made here
	zstd  bool    // how the maker compresses it, else with gzip
	// outpaced is closed when the maker is; nil without one.
	outpaced chan struct{}
	wants    map[*Member]*Want
	err      error
	next     int // all chunks below it are wherever they are wanted
}

// chunkSize is how many bytes chunk i has.
func (b *blob) chunkSize(i int) int64 {
	switch {
	case i < 0 || i >= len(b.sums):
		return -1
	case i < len(b.sums)-1:
		return chunk.Size
	}
	return b.tail
}

// Want is one blob on its way to one member.
type Want struct {
	m      *Member
	b      *blob
	have   []bool
	count  int
	seen   int // chunks of which the member has told whether it has them
	opened time.Time
	moved  time.Time // when a chunk came last
	alone  bool      // its peers bring it nothing, though they could: it is fed from here until one does
	slow   bool      // its line is much slower than those of others, which are sent its chunks first
	bytes  func(n int64, from byte)
	done   chan struct{}
	err    error
}

// Blob is the number by which the member knows the blob.
func (w *Want) Blob() uint32 { return w.b.id }

// Wait returns the blob's size in bytes and its SHA-256 once the member has all of it.
func (w *Want) Wait(ctx context.Context) (int64, [wire.SumSize]byte, error) {
	select {
	case <-w.done:
	case <-ctx.Done():
		return 0, [wire.SumSize]byte{}, context.Cause(ctx)
	}
	w.m.swarm.mu.Lock()
	defer w.m.swarm.mu.Unlock()
	return w.b.size, w.b.whole, w.err
}

// Zstd tells, once Wait has returned, whether the maker of the blob has compressed it with zstd, else with gzip.
func (w *Want) Zstd() bool {
	w.m.swarm.mu.Lock()
	defer w.m.swarm.mu.Unlock()
	return w.b.zstd
}

// errDropped: the member needs the blob no more.
var errDropped = errors.New("it is not needed any more")

// ErrMaker is wrapped by the error of a Want whose blob was made by a member that failed: it can still be made here.
var ErrMaker = errors.New("the host that held it could not send it")

// Ask makes the member want the blob of that name. The first to want it says how it is made: by open, here, or by
// maker, a member whose engine holds the layer p names. Bytes is told, with the origin, what arrives; it must not block.
func (m *Member) Ask(name string, open Opener, maker *Member, p wire.Produce, bytes func(n int64, from byte)) *Want {
	s := m.swarm
	s.mu.Lock()
	b := s.byName[name]
	if b == nil || b.err != nil {
		b = &blob{id: uint32(len(s.blobs)), name: name, size: -1, maker: maker, asked: time.Now(), wants: map[*Member]*Want{}}
		s.blobs = append(s.blobs, b)
		s.byName[name] = b
		switch {
		case maker == nil:
			s.tasks.Go(func() { s.cut(s.ctx, b, open) })
		case maker.err != nil: // it ended since it was chosen: there is nobody to ask
			s.failLocked(b, maker.err)
		default:
			b.outpaced = make(chan struct{})
			if maker.outpaced {
				close(b.outpaced)
			}
			maker.produced = b.asked
			p.Blob = b.id
			maker.say(func(c *wire.Conn) error { return c.SendJSON(wire.KindOpen, wire.Open{Blob: b.id, Name: name}) })
			maker.say(func(c *wire.Conn) error { return c.SendJSON(wire.KindProduce, p) })
		}
	}
	if w := b.wants[m]; w != nil && m.err == nil && (w.open() || w.err == nil) {
		s.mu.Unlock() // an image may have a layer twice
		return w
	}
	w := &Want{m: m, b: b, bytes: bytes, done: make(chan struct{}), opened: time.Now(), moved: time.Now()}
	b.wants[m] = w
	m.wants[b.id] = w
	b.next = 0
	b.greet(m)
	switch {
	case m.err != nil:
		w.end(m.err)
	case b.err != nil:
		w.end(b.err)
	}
	s.mu.Unlock()
	s.poke()
	return w
}

// greet tells a member all that is known of the blob.
func (b *blob) greet(m *Member) {
	open := wire.Open{Blob: b.id, Name: b.name}
	m.say(func(c *wire.Conn) error { return c.SendJSON(wire.KindOpen, open) })
	if len(b.sums) > 0 {
		a := wire.Announce{Blob: b.id, Sums: b.sums[:len(b.sums):len(b.sums)]}
		m.say(func(c *wire.Conn) error { return c.SendAnnounce(wire.KindAnnounce, a) })
	}
	if b.size >= 0 {
		f := wire.Finish{Blob: b.id, Size: b.size, Digest: b.whole}
		m.say(func(c *wire.Conn) error { return c.SendFinish(wire.KindFinish, f) })
	}
}

// announce adds digests of chunks and passes them on; tail is how many bytes the last of them has.
func (s *Swarm) announce(b *blob, first int, sums [][wire.SumSize]byte, tail int64) {
	s.mu.Lock()
	defer s.poke()
	defer s.mu.Unlock()
	if first != len(b.sums) {
		s.failLocked(b, fmt.Errorf("chunk %d announced after %d", first, len(b.sums)))
		return
	}
	b.sums, b.tail = append(b.sums, sums...), tail
	for now := time.Now(); len(b.told) < len(b.sums); {
		b.told = append(b.told, now)
	}
	a := wire.Announce{Blob: b.id, First: uint32(first), Sums: sums}
	for m := range b.wants {
		m.say(func(c *wire.Conn) error { return c.SendAnnounce(wire.KindAnnounce, a) })
	}
}

// finished says how large the blob has become.
func (s *Swarm) finished(b *blob, size int64, digest [wire.SumSize]byte) {
	s.mu.Lock()
	defer s.poke()
	defer s.mu.Unlock()
	if n := (size + chunk.Size - 1) / chunk.Size; n != int64(len(b.sums)) {
		s.failLocked(b, fmt.Errorf("%d bytes in %d chunks", size, len(b.sums)))
		return
	}
	b.size, b.whole = size, digest
	if n := int64(len(b.sums)); n > 0 {
		b.tail = size - (n-1)*chunk.Size
	}
	f := wire.Finish{Blob: b.id, Size: size, Digest: digest}
	for m, w := range b.wants {
		m.say(func(c *wire.Conn) error { return c.SendFinish(wire.KindFinish, f) })
		w.check()
	}
}

func (s *Swarm) failBlob(b *blob, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failLocked(b, err)
}

// failLocked ends all wants of a blob that will not be made.
func (s *Swarm) failLocked(b *blob, err error) {
	if b.maker != nil {
		err = fmt.Errorf("%w: %s: %w", ErrMaker, b.maker.Name, err)
	}
	b.err = err
	for _, w := range b.wants {
		w.end(err)
	}
}

// got notes chunks that the member has.
func (w *Want) got(items []wire.HaveItem, now time.Time) {
	for _, i := range items {
		n := int(i.Index)
		if n >= len(w.b.sums) {
			continue // it says more than it was told: to be found out when it lacks something
		}
		for len(w.have) <= n {
			w.have = append(w.have, false)
		}
		pushed := w.m.acknowledge(w.b, n, now)
		if w.have[n] {
			continue
		}
		w.have[n] = true
		w.count++
		w.moved = now
		w.b.noteHad(n, now)
		from := i.From
		if from == wire.FromUplink && !pushed {
			from = wire.FromPeer // whatever it says: nothing left here, and the rate of this line must not count it
		}
		if from == wire.FromPeer {
			w.alone = false
		}
		w.bytes(w.b.chunkSize(n), from)
	}
	w.check()
}

func (w *Want) has(i int) bool { return i < len(w.have) && w.have[i] }

// check ends the want when nothing is missing.
func (w *Want) check() {
	if w.b.size >= 0 && w.count == len(w.b.sums) {
		w.end(nil)
	}
}

func (w *Want) end(err error) {
	select {
	case <-w.done:
	default:
		w.err = err
		close(w.done)
	}
}

// open: the member does not have all of it, and may still get it.
func (w *Want) open() bool {
	select {
	case <-w.done:
		return false
	default:
		return true
	}
}
