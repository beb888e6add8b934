package swarm

import (
	"errors"
	"fmt"
	"time"

	"ship/internal/plain"
	"ship/transfer/chunk"
	"ship/transfer/wire"
)

// listen hears the helper until its end.
func (m *Member) listen() error {
	for {
		k, p, err := m.control.Recv()
		if err != nil {
			return err
		}
		now := time.Now()
		m.swarm.mu.Lock()
		m.heard, m.silent = now, 0
		m.swarm.mu.Unlock()
		if err := m.hear(k, p, now); err != nil {
			return err
		}
	}
}

func (m *Member) hear(k wire.Kind, p []byte, now time.Time) error {
	switch k {
	case wire.KindPong:
		return nil
	case wire.KindHave:
		h, err := wire.ParseHave(p)
		if err == nil {
			m.swarm.have(m, h, now)
		}
		return err
	case wire.KindSeen:
		x, err := wire.ParseSeen(p)
		if err == nil {
			m.swarm.seen(m, x)
		}
		return err
	case wire.KindLinked:
		l, err := wire.Parse[wire.Linked](p)
		if err == nil {
			m.swarm.linked(m, l)
		}
		return err
	case wire.KindPlaced:
		l, err := wire.Parse[wire.Linked](p)
		if err == nil {
			m.placed(l)
		}
		return err
	case wire.KindFailed:
		f, err := wire.Parse[wire.Failed](p)
		if err == nil {
			m.swarm.failed(m, f)
		}
		return err
	case wire.KindForm:
		f, err := wire.Parse[wire.Form](p)
		if err == nil {
			m.swarm.form(m, f)
		}
		return err
	case wire.KindProduced:
		a, err := wire.ParseAnnounce(p)
		if err == nil {
			m.swarm.produced(m, a)
		}
		return err
	case wire.KindMade:
		f, err := wire.ParseFinish(p)
		if err == nil {
			m.swarm.made(m, f)
		}
		return err
	}
	return m.hearAnswer(k, p)
}

// hearAnswer takes what somebody waits for.
func (m *Member) hearAnswer(k wire.Kind, p []byte) error {
	switch k {
	case wire.KindLoaded:
		l, err := wire.Parse[wire.Loaded](p)
		if err != nil {
			return err
		}
		m.mu.Lock()
		if c := m.loads[l.ID]; c != nil {
			c <- l // it has room
			delete(m.loads, l.ID)
		}
		m.mu.Unlock()
		return nil
	case wire.KindChunkUp:
		c, err := wire.ParseChunk(p)
		if err != nil {
			return err
		}
		m.answerUp(c)
		return nil
	case wire.KindSigned:
		id, data, err := wire.ParseID(p)
		if err != nil {
			return err
		}
		m.mu.Lock()
		g := m.signs[id]
		m.mu.Unlock()
		if g != nil {
			g.add(data)
		}
		return nil
	case wire.KindSignEnd:
		f, err := wire.Parse[wire.Failed](p)
		if err != nil {
			return err
		}
		m.mu.Lock()
		g := m.signs[f.ID]
		delete(m.signs, f.ID)
		m.mu.Unlock()
		if g != nil {
			g.end(said(f.Error))
		}
		return nil
	}
	return fmt.Errorf("%w: kind %d", wire.ErrFrame, k)
}

// maxSaid bounds what a helper's words may have in characters.
const maxSaid = 500

// said makes an error of a helper's words, which may be a host's lies; nil if there are none.
func said(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(plain.Line(text, maxSaid))
}

func (s *Swarm) have(m *Member, h wire.Have, now time.Time) {
	s.mu.Lock()
	defer s.poke()
	defer s.mu.Unlock()
	if w := m.wants[h.Blob]; w != nil {
		w.got(h.Items, now)
	}
}

func (s *Swarm) seen(m *Member, x wire.Seen) {
	s.mu.Lock()
	defer s.poke()
	defer s.mu.Unlock()
	if w := m.wants[x.Blob]; w != nil && int(x.Upto) <= len(w.b.sums) {
		w.seen = max(w.seen, int(x.Upto))
	}
}

func (s *Swarm) failed(m *Member, f wire.Failed) {
	err := said(f.Error)
	if f.Full {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	s.mu.Lock()
	defer s.poke()
	defer s.mu.Unlock()
	if int(f.ID) < len(s.blobs) && s.blobs[f.ID].maker == m {
		s.failLocked(s.blobs[f.ID], err)
		return
	}
	if w := m.wants[f.ID]; w != nil {
		w.end(err)
	}
}

// ErrFull is wrapped by the error of a blob that a host has no room for.
var ErrFull = errors.New("no space left for chunks on the host")

func (s *Swarm) form(m *Member, f wire.Form) {
	if b := s.blobOf(m, f.Blob); b != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		b.zstd = f.Zstd
	}
}

func (s *Swarm) produced(m *Member, a wire.Announce) {
	if b := s.making(m, a.Blob, len(a.Sums)); b != nil {
		s.announce(b, int(a.First), a.Sums, chunk.Size)
	}
}

func (s *Swarm) made(m *Member, f wire.Finish) {
	if b := s.making(m, f.Blob, 0); b != nil {
		s.finished(b, f.Size, f.Digest)
	}
}

// making returns a blob that m makes, and to which it adds n chunks. A blob that is whole, or would have more chunks than
// a host keeps, fails: every member would have to remember them.
func (s *Swarm) making(m *Member, id uint32, n int) *blob {
	b := s.blobOf(m, id)
	if b == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m.produced = time.Now()
	switch {
	case b.err != nil:
		return nil
	case b.size >= 0:
		s.failLocked(b, errors.New("it goes on after its end"))
		return nil
	case len(b.sums)+n > chunk.MaxChunks:
		s.failLocked(b, fmt.Errorf("more than %d chunks", chunk.MaxChunks))
		return nil
	}
	return b
}

// blobOf returns a blob that m makes.
func (s *Swarm) blobOf(m *Member, id uint32) *blob {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(id) < len(s.blobs) && s.blobs[id].maker == m {
		return s.blobs[id]
	}
	return nil
}
