package swarm

import (
	"fmt"
	"testing"
	"time"

	"ship/transfer/wire"
)

// hear lets time pass, with all members alive.
func (w *world) hear(after time.Duration) {
	w.now = w.now.Add(after)
	for _, m := range w.members {
		m.heard = w.now
	}
	w.schedule(w.now)
}

// TestLateFirstChunk: the source took long to its first byte. That no peer has brought any so far is nobody's fault, and the
// chunk leaves once.
func TestLateFirstChunk(t *testing.T) {
	w := newWorld("a", "b", "c", "d")
	for i := range w.members {
		for j := range i {
			w.link(i, j)
		}
	}
	b := w.blob(0, 0, 1, 2, 3)
	w.hear(2 * rescueAfter)
	b.sums, b.told = make([][wire.SumSize]byte, 1), []time.Time{w.now}
	for _, x := range b.wants {
		x.seen = 1
	}
	w.hear(time.Millisecond)
	if got := fmt.Sprint(w.under()); got != "[1 0 0 0]" {
		t.Errorf("under way %s, want [1 0 0 0]", got)
	}
}

// TestPeerGivesNothing: a member says that it has all, and gives nothing. Its peers are fed from here until one of them
// gets a chunk from a peer.
func TestPeerGivesNothing(t *testing.T) {
	const chunks = 100
	w := newWorld("liar", "b", "c")
	w.link(0, 1)
	w.link(0, 2)
	b := w.blob(chunks, 0, 1, 2)
	for i := range chunks {
		w.has(b, 0, i)
	}
	arrive := func() {
		for i, m := range w.members {
			for len(m.queue) > 0 {
				<-m.queue
			}
			for k := range m.under {
				b.wants[w.members[i]].got([]wire.HaveItem{{Index: uint32(k.i), From: wire.FromUplink}}, w.now)
			}
		}
	}
	start := w.now
	for (b.wants[w.members[1]].count < chunks || b.wants[w.members[2]].count < chunks) && w.now.Sub(start) < 5*time.Minute {
		w.hear(50 * time.Millisecond)
		arrive()
	}
	if took := w.now.Sub(start); took > 3*rescueAfter {
		t.Errorf("%s until both had %d chunks, %s of it to find out", took, chunks, rescueAfter)
	}
	again := w.blob(2, 0, 1)
	w.has(again, 0, 0)
	w.has(again, 0, 1)
	w.hear(2 * rescueAfter)
	b1 := again.wants[w.members[1]]
	if !b1.alone {
		t.Fatal("not fed from here")
	}
	b1.got([]wire.HaveItem{{Index: 0, From: wire.FromPeer}}, w.now)
	if b1.alone {
		t.Error("a peer has brought a chunk, and it is fed from here all the same")
	}
}

// TestUplinkIsWhatWasPushed: a member that says of a peer's chunk that it came from here does not change the figures.
func TestUplinkIsWhatWasPushed(t *testing.T) {
	w := newWorld("a")
	b := w.blob(2, 0)
	from := map[byte]int{}
	b.wants[w.members[0]].bytes = func(_ int64, f byte) { from[f]++ }
	w.members[0].under[key{b, 0}] = w.now
	b.wants[w.members[0]].got([]wire.HaveItem{{Index: 0, From: wire.FromUplink}, {Index: 1, From: wire.FromUplink}}, w.now)
	if from[wire.FromUplink] != 1 || from[wire.FromPeer] != 1 {
		t.Errorf("counted %v, want one of each", from)
	}
}
