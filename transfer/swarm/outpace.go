package swarm

import (
	"time"

	"ship/transfer/chunk"
	"ship/transfer/wire"
)

const (
	// outpacedBy: what a maker still has to give takes so many times longer than all of its blobs would from here.
	outpacedBy = 3
	// outpacedByGuess is the same while nobody has measured the line from here, only guessedUplink is taken for it.
	outpacedByGuess = 10
	// guessedUplink in bytes a second.
	guessedUplink = 6e6
	// outpacedLeast is what there must be to gain: less is not worth bytes that a host could send.
	outpacedLeast = 5 * time.Second
	// measureFor so long a maker gives, before it is judged.
	measureFor = 3 * time.Second
)

// Outpaced is closed once the blob would come much sooner from here than from the member that makes it. It never is
// for one that is made here.
func (w *Want) Outpaced() <-chan struct{} { return w.b.outpaced }

// outpace finds makers that are plainly slower than the line from here.
func (s *Swarm) outpace(now time.Time) {
	if now.Sub(s.judged) < tickEvery {
		return
	}
	s.judged = now
	for _, m := range s.members {
		if m.err != nil || m.outpaced || !s.outpaces(m, now) {
			continue
		}
		m.outpaced = true
		for _, b := range s.blobs {
			if b.maker == m {
				close(b.outpaced)
			}
		}
	}
}

// outpaces compares what is left for a maker to give, at the rate at which it does, with all of that from here.
func (s *Swarm) outpaces(m *Member, now time.Time) bool {
	g := s.giving(m, now)
	if g.left == 0 {
		m.gives = time.Time{}
		return false
	}
	if m.gives.IsZero() {
		if g.can {
			m.gives = now
		}
		return false
	}
	took := now.Sub(m.gives)
	if took < measureFor {
		return false
	}
	// A chunk that is half way on each link is not known of, and counts as given.
	there := took / time.Duration(g.given+g.takers) * time.Duration(g.left)
	rate, factor := s.line.rate(s.Uplink), outpacedBy
	if rate == 0 {
		rate, factor = guessedUplink, outpacedByGuess
	}
	here := time.Duration(float64(g.whole+s.backlog()) * chunk.Size / rate * float64(time.Second))
	return there > time.Duration(factor)*here+outpacedLeast
}

// given is what a maker has to do with the blobs that are still wanted of it, in chunks.
type given struct {
	whole, left int
	given       int  // since gives
	takers      int  // members that get them from it, 1 at least
	can         bool // somebody can get it: there is a link, or there has been time for one
}

func (s *Swarm) giving(m *Member, now time.Time) (g given) {
	for _, b := range s.blobs {
		if b.maker != m {
			continue
		}
		for i := range b.sums {
			switch {
			case i >= len(b.had) || b.had[i].IsZero():
				if b.wanted() {
					g.left++
				}
			case !b.had[i].Before(m.gives):
				g.given++
			}
		}
		if b.err != nil || !b.wanted() || len(b.sums) == 0 {
			continue
		}
		g.whole += len(b.sums)
		n := 0
		for o, w := range b.wants {
			if l := m.links[o]; w.open() && l != nil && l.up {
				n++
			}
		}
		g.takers = max(g.takers, n, 1)
		g.can = g.can || n > 0 || now.Sub(b.told[0]) > 2*linkPatience // both directions have been tried
	}
	return g
}

// backlog is how many chunks are still to be sent from here first.
func (s *Swarm) backlog() (n int) {
	for _, b := range s.blobs {
		if b.maker != nil || b.err != nil || !b.wanted() {
			continue
		}
		for i := range b.sums {
			if i >= len(b.had) || b.had[i].IsZero() {
				n++
			}
		}
	}
	return n
}

// line measures how fast chunks leave here.
type line struct {
	since time.Time // of the second under way
	bytes int64     // in it
	all   int64
	best  float64 // bytes a second: in other seconds the line waits for what is compressed, or for a host
}

// lineLeast in bytes: fewer say more about buffers than about the line.
const lineLeast = 8 << 20

func (l *line) sent(n int64, now time.Time) {
	if l.since.IsZero() {
		l.since = now
		return
	}
	l.bytes += n
	l.all += n
	if took := now.Sub(l.since); took >= time.Second {
		l.best = max(l.best, float64(l.bytes)/took.Seconds())
		l.since, l.bytes = now, 0
	}
}

// rate is bytes a second, as seen now or, if that was more, before; 0 = not known.
func (l *line) rate(before int64) float64 {
	if l.all < lineLeast {
		return float64(before)
	}
	return max(l.best, float64(before))
}

// Drop says that the member needs the blob no more, because it has got the same in another way.
func (w *Want) Drop() {
	s := w.m.swarm
	s.mu.Lock()
	defer s.mu.Unlock()
	w.end(errDropped)
	w.m.say(func(c *wire.Conn) error { return c.SendID(wire.KindDrop, w.b.id) })
}

// Done is closed when Wait would not wait.
func (w *Want) Done() <-chan struct{} { return w.done }
