package swarm

import (
	"slices"
	"time"
)

const (
	// hedgeFactor times the usual delay a chunk may be on its way before another member is sent it too.
	hedgeFactor = 4
	// hedgeLeast is the shortest time before that.
	hedgeLeast = 2 * time.Second
	// seenPatience is how long a member may take to say which chunks it has of an earlier run, before it is sent them.
	seenPatience = 5 * time.Second
	// suspectAfter: a member that says nothing for so long, though the others do, counts as gone until it is heard.
	suspectAfter = 5 * time.Second
)

// key names a chunk.
type key struct {
	b *blob
	i int
}

// schedule queues the chunks that are to be pushed now: in the order of blobs and chunks, each once for every island
// that has it nowhere, to the member of the island with the least under way.
func (s *Swarm) schedule(now time.Time) {
	late := s.late()
	s.outpace(now)
	for _, b := range s.blobs {
		if b.err != nil || !b.wanted() {
			continue
		}
		s.stalled(b, now)
		if b.capacity(true) == 0 {
			continue
		}
		s.rescue(b, now, max(rescueAfter, late))
		b.advance()
		islands := append(s.islands(b, now), b.alone()...)
		for _, island := range islands {
			s.passBy(b, island, now)
		}
		free := b.capacity(false)
		for i := b.next; i < len(b.sums) && free > 0; i++ {
			for _, island := range islands {
				if s.consider(key{b, i}, island, now, late) {
					free--
				}
			}
		}
	}
}

func (b *blob) wanted() bool {
	for _, w := range b.wants {
		if w.open() {
			return true
		}
	}
	return false
}

// advance moves next over chunks that are wherever they are wanted.
func (b *blob) advance() {
	for ; b.next < len(b.sums); b.next++ {
		for _, w := range b.wants {
			if !w.has(b.next) && w.open() {
				return
			}
		}
	}
}

// capacity is how many more chunks of b can be queued, for those that are passed by too or not.
func (b *blob) capacity(slow bool) int {
	n := 0
	for m, w := range b.wants {
		if w.open() && (slow || !w.slow) {
			n += m.room()
		}
	}
	return n
}

// consider pushes a chunk to an island that has it nowhere and to which it is not under way, and tells whether it did.
// Late is how long a chunk may be under way.
func (s *Swarm) consider(k key, island []*Member, now time.Time, late time.Duration) bool {
	var to *Member
	for _, m := range island {
		w := k.b.wants[m]
		if w == nil || w.has(k.i) { // the maker has every chunk that is announced
			if !s.suspect(m, now) && !w.tooSlow(k.i, now, late) {
				return false
			}
			continue
		}
		if since, ok := m.under[k]; ok {
			if now.Sub(since) < late {
				return false
			}
			continue
		}
		if w.seen <= k.i { // it may have it, and cannot take it before it knows its digest
			if w.maySee(k.i, now) {
				return false
			}
			continue
		}
		if w.open() && !w.slow && m.room() > 0 && (to == nil || len(m.under) < len(to.under)) && !s.suspect(m, now) {
			to = m
		}
	}
	if to != nil {
		to.push(k, now)
	}
	return to != nil
}

// maySee tells whether the member may still say that it has chunk i.
func (w *Want) maySee(i int, now time.Time) bool {
	return now.Sub(w.opened) < seenPatience || now.Sub(w.b.told[i]) < seenPatience
}

// slowFactor: a member that takes so many times longer for a chunk than the fastest of its island is sent none, even if
// the others have no room just now: they would have to fetch it from there in the end, over the line that is slow.
const slowFactor = 3

// passBy marks the wants of an island's members that are too slow to be sent what the others lack too.
func (s *Swarm) passBy(b *blob, island []*Member, now time.Time) {
	fastest := time.Duration(0) // of those whose pace is known
	for _, m := range island {
		w := b.wants[m]
		if w == nil || !w.open() || s.suspect(m, now) || b.next < len(b.sums) && w.seen <= b.next && !w.maySee(b.next, now) {
			continue
		}
		if d := m.each(now); d > 0 && (fastest == 0 || d < fastest) {
			fastest = d
		}
	}
	for _, m := range island {
		if w := b.wants[m]; w != nil {
			w.slow = fastest > 0 && m.each(now) > slowFactor*fastest
		}
	}
}

// tooSlow tells whether others have waited long enough for chunk i, which the member has and gives them over a slow line.
// It can be one or two chunks a member: those that were sent before its pace was known.
func (w *Want) tooSlow(i int, now time.Time, late time.Duration) bool {
	if w == nil || !w.slow {
		return false
	}
	had := w.b.hadSince(i)
	return !had.IsZero() && now.Sub(had) >= late
}

// islands are the members that want b, or make it, by who can reach whom through whom.
func (s *Swarm) islands(b *blob, now time.Time) [][]*Member {
	var out [][]*Member
	seen := make(map[*Member]bool, len(b.wants)+1)
	in := func(m *Member) bool { return m.err == nil && (b.wants[m] != nil || b.maker == m) }
	for _, first := range s.members {
		if !in(first) || seen[first] {
			continue
		}
		island := []*Member{first}
		seen[first] = true
		for n := 0; n < len(island); n++ {
			for peer, l := range island[n].links {
				if l.counts(now) && in(peer) && !seen[peer] {
					seen[peer] = true
					island = append(island, peer)
				}
			}
		}
		out = append(out, island)
	}
	return out
}

// suspect tells whether a member is silent while others are not.
func (s *Swarm) suspect(m *Member, now time.Time) bool {
	if m.err != nil {
		return true
	}
	age := now.Sub(m.heard)
	if age < suspectAfter {
		return false
	}
	least := age
	for _, o := range s.members {
		if o.err == nil && o != m {
			least = min(least, now.Sub(o.heard))
		}
	}
	return age > 4*least+time.Second
}

// late is how long a chunk may be under way.
func (s *Swarm) late() time.Duration {
	if len(s.delays) == 0 {
		return 4 * hedgeLeast
	}
	d := slices.Clone(s.delays)
	slices.Sort(d)
	return max(hedgeLeast, hedgeFactor*d[len(d)/2])
}

// maxDelays is how many delays are remembered.
const maxDelays = 33

// push queues a chunk for a member.
func (m *Member) push(k key, now time.Time) {
	m.under[k] = now
	select {
	case m.queue <- k:
	default: // cannot be: room is less than the queue has
		delete(m.under, k)
	}
}

// acknowledge notes that a chunk is there, and tells whether it was on its way from here.
func (m *Member) acknowledge(b *blob, i int, now time.Time) bool {
	since, ok := m.under[key{b, i}]
	if !ok {
		return false
	}
	delete(m.under, key{b, i})
	d := now.Sub(since)
	m.pace.took(d, len(m.under)+1)
	s := m.swarm
	if b.maker == nil { // what others make comes here first, over a line of its own
		s.line.sent(b.chunkSize(i), now)
	}
	if s.delays = append(s.delays, d); len(s.delays) > maxDelays {
		s.delays = s.delays[1:]
	}
	return true
}

const (
	firstWindow = 1 // until the pace is known, where others can take chunks too: how slow its line is may show soon
	leastWindow = 2
	mostWindow  = 32
	// queueTime is how much work a member has ahead: what is queued there, no other member can be given.
	queueTime = 250 * time.Millisecond
)

// room is how many more chunks the member may have under way: as many as go through in the round trip and queueTime.
func (m *Member) room() int {
	if m.err != nil || !m.ready {
		return 0
	}
	most := m.pace.window(2*m.rtt + queueTime)
	if m.pace.each == 0 && len(m.swarm.members) > 1 {
		most = firstWindow
	}
	return max(0, most-len(m.under))
}

// each is how long a chunk takes to the member, as far as is known: what is under way for longer counts too.
func (m *Member) each(now time.Time) time.Duration {
	d := m.pace.each
	for _, since := range m.under {
		d = max(d, now.Sub(since)/time.Duration(len(m.under)))
	}
	return d
}

// pace estimates how fast chunks go through to a member.
type pace struct{ each time.Duration } // per chunk; 0 = not known

// took notes that a chunk took d when n were under way.
func (p *pace) took(d time.Duration, n int) {
	one := d / time.Duration(max(n, 1))
	if p.each == 0 {
		p.each = one
	}
	p.each += (one - p.each) / 4
}

func (p *pace) window(ahead time.Duration) int {
	if p.each <= 0 {
		return leastWindow
	}
	return int(min(max(ahead/p.each+1, leastWindow), mostWindow))
}
