package swarm

import "time"

// rescueAfter: a member that for so long gets nothing of a blob from its peers, though they say that they have what it
// lacks, is fed from here. It is longer than two members may take to be linked: what is fed too early leaves here twice.
const rescueAfter = linkPatience + 4*time.Second

// rescueMaker times longer it takes where the chunks come from the member that makes them: what it would send here for
// others goes over the line that is slow.
const rescueMaker = 4

// rescue finds members to which their peers bring nothing, and has them fed from here until a peer brings something.
func (s *Swarm) rescue(b *blob, now time.Time, patience time.Duration) {
	if b.maker != nil {
		patience *= rescueMaker
	}
	for _, w := range b.wants {
		if !w.open() || w.alone || now.Sub(w.moved) < patience {
			continue
		}
		for i := b.next; i < w.seen; i++ {
			if !w.has(i) {
				had := b.hadSince(i)
				w.alone = !had.IsZero() && now.Sub(had) >= patience
				break
			}
		}
	}
}

// hadSince is when the first of those who want chunk i, or the blob's maker, had it; zero if nobody has. Until then no
// peer can have brought it.
func (b *blob) hadSince(i int) time.Time {
	if b.maker != nil {
		return b.told[i]
	}
	if i < len(b.had) {
		return b.had[i]
	}
	return time.Time{}
}

// noteHad keeps when the first member had chunk i.
func (b *blob) noteHad(i int, now time.Time) {
	for len(b.had) <= i {
		b.had = append(b.had, time.Time{})
	}
	if b.had[i].IsZero() {
		b.had[i] = now
	}
}

// alone are the members that are fed as if they had no peers, each as an island.
func (b *blob) alone() (out [][]*Member) {
	for m, w := range b.wants {
		if w.alone && w.open() {
			out = append(out, []*Member{m})
		}
	}
	return out
}
