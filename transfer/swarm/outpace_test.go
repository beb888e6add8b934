package swarm

import (
	"testing"
	"time"

	"ship/transfer/chunk"
	"ship/transfer/wire"
)

// outpacing is a world whose first member has made a blob of so many chunks that two others want.
func outpacing(t *testing.T, chunks int, linked bool) (world, *blob) {
	t.Helper()
	w := newWorld("maker", "b", "c")
	if linked {
		w.link(0, 1)
		w.link(1, 2)
	}
	b := w.blob(chunks, 1, 2)
	b.maker, b.outpaced, b.asked = w.members[0], make(chan struct{}), w.now
	w.members[0].produced = w.now
	return w, b
}

// run lets the maker give a chunk every so often, to b, until it is found slow; 0 = it never is.
func (w *world) run(b *blob, every time.Duration) (after time.Duration) {
	begin, given := w.now, 0
	for given < len(b.sums) && w.now.Sub(begin) < time.Hour {
		w.hear(tickEvery)
		b.maker.produced = w.now
		for ; given < len(b.sums) && w.now.Sub(begin) >= time.Duration(given+1)*every; given++ {
			b.wants[w.members[1]].got([]wire.HaveItem{{Index: uint32(given), From: wire.FromPeer}}, w.now)
		}
		select {
		case <-b.outpaced:
			return w.now.Sub(begin)
		default:
		}
	}
	return 0
}

func TestOutpaced(t *testing.T) {
	const mib = 1 << 20
	for name, tt := range map[string]struct {
		chunks      int
		every       time.Duration // a chunk from the maker
		uplink      int64
		unlinked    bool
		backlog     int // chunks that are to be sent from here anyway
		least, most time.Duration
	}{
		"as fast as the line":      {chunks: 100, every: time.Second / 5, uplink: 5 * mib},
		"half as fast":             {chunks: 100, every: time.Second / 5, uplink: 10 * mib},
		"3 % of the line":          {chunks: 100, every: 4 * time.Second, uplink: 8 * mib, least: measureFor, most: 5 * time.Second},
		"so, and almost done":      {chunks: 1, every: 4 * time.Second, uplink: 8 * mib},
		"a tenth of the line":      {chunks: 100, every: time.Second, uplink: 10 * mib, least: measureFor, most: 6 * time.Second},
		"so, which has much to do": {chunks: 100, every: time.Second, uplink: 10 * mib, backlog: 300},
		"slow, the line unknown":   {chunks: 100, every: 8 * time.Second, least: measureFor, most: 10 * time.Second},
		"fair, the line unknown":   {chunks: 100, every: time.Second},
		"no link yet, then one":    {chunks: 100, every: 4 * time.Second, uplink: 8 * mib, unlinked: true, least: 2 * linkPatience, most: 2*linkPatience + 6*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			w, b := outpacing(t, tt.chunks, !tt.unlinked)
			w.Uplink = tt.uplink
			if tt.backlog > 0 {
				w.blob(tt.backlog, 1)
			}
			if got := w.run(b, tt.every); got < tt.least || got > tt.most {
				t.Errorf("found slow after %s, expected %s to %s", got, tt.least, tt.most)
			}
		})
	}
}

// Many hosts want what one has, which gives to a few of them: how slow it is shows as soon as with few.
func TestOutpacedForMany(t *testing.T) {
	names := []string{"maker"}
	var others []int
	for i := range 20 {
		names, others = append(names, string(rune('b'+i))), append(others, i+1)
	}
	w := newWorld(names...)
	for i := range 20 { // a ring, with the maker in it
		w.link(i, i+1)
	}
	w.link(20, 0)
	b := w.blob(16, others...)
	b.maker, b.outpaced, b.asked = w.members[0], make(chan struct{}), w.now
	w.members[0].produced = w.now
	w.Uplink = 5 << 20
	if after := w.run(b, 4*time.Second); after == 0 || after > 6*time.Second {
		t.Errorf("found slow after %s", after)
	}
}

// A maker that had nothing to give for a while is not slow for that.
func TestIdleMakerIsNotSlow(t *testing.T) {
	w, b := outpacing(t, 3, true)
	w.Uplink = 10 << 20
	w.run(b, tickEvery)
	w.hear(time.Hour)
	next := w.blob(10, 1, 2)
	next.maker, next.outpaced, next.asked = w.members[0], make(chan struct{}), w.now
	w.members[0].produced = w.now
	if after := w.run(next, tickEvery); after > 0 {
		t.Errorf("slow after %s", after)
	}
}

func TestLineRate(t *testing.T) {
	var l line
	now := time.Now()
	if r := l.rate(5); r != 5 {
		t.Errorf("nothing sent: %f", r)
	}
	for i := range 40 {
		if i%10 == 0 {
			now = now.Add(time.Minute) // nothing to send for a while
		}
		now = now.Add(time.Second / 4)
		l.sent(chunk.Size, now)
	}
	if r := l.rate(5) / chunk.Size; r < 3.9 || r > 4.1 {
		t.Errorf("%f chunks a second, sent 4", r)
	}
	if r := l.rate(100 << 20); r != 100<<20 {
		t.Errorf("it was faster before: %f", r)
	}
}
