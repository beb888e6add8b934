package swarm

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"ship/internal/shiptest/leak"
	"ship/transfer/wire"
)

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }

// world is a swarm that nothing runs in: only its decisions are looked at.
type world struct {
	*Swarm
	now time.Time
}

func newWorld(names ...string) world {
	w := world{&Swarm{byName: map[string]*blob{}}, time.Now()}
	for _, n := range names {
		w.members = append(w.members, &Member{Name: n, swarm: w.Swarm, ready: true, heard: w.now, queue: make(chan key, 2*mostWindow),
			links: map[*Member]*link{}, wants: map[uint32]*Want{}, under: map[key]time.Time{}})
	}
	return w
}

// blob is wanted by all members of the indexes, and has chunks that all know of.
func (w world) blob(chunks int, by ...int) *blob {
	b := &blob{id: uint32(len(w.blobs)), size: -1, wants: map[*Member]*Want{}, sums: make([][wire.SumSize]byte, chunks)}
	for range chunks {
		b.told = append(b.told, w.now)
	}
	for _, i := range by {
		m := w.members[i]
		b.wants[m] = &Want{m: m, b: b, seen: chunks, opened: w.now, moved: w.now, done: make(chan struct{}), bytes: func(int64, byte) {}}
		m.wants[b.id] = b.wants[m]
	}
	w.blobs = append(w.blobs, b)
	return b
}

func (w world) link(a, b int) {
	l := &link{up: true}
	w.members[a].links[w.members[b]], w.members[b].links[w.members[a]] = l, l
}

// under is how many chunks are on their way to each member.
func (w world) under() []int {
	var out []int
	for _, m := range w.members {
		out = append(out, len(m.under))
	}
	return out
}

func (w world) has(b *blob, m, i int) {
	b.wants[w.members[m]].got([]wire.HaveItem{{Index: uint32(i)}}, w.now)
}

func TestIslands(t *testing.T) {
	w := newWorld("a", "b", "c", "d", "e")
	w.link(0, 1)
	w.link(1, 2)
	w.link(3, 4)
	names := func(b *blob) string {
		var out []string
		for _, island := range w.islands(b, w.now) {
			var n []string
			for _, m := range island {
				n = append(n, m.Name)
			}
			slices.Sort(n)
			out = append(out, strings.Join(n, ""))
		}
		return strings.Join(out, " ")
	}
	all := w.blob(1, 0, 1, 2, 3, 4)
	if got := names(all); got != "abc de" {
		t.Errorf("all want it: %s", got)
	}
	if got := names(w.blob(1, 0, 2)); got != "a c" {
		t.Errorf("who is between them does not want it: %s", got)
	}
	made := w.blob(1, 0, 2)
	made.maker = w.members[1]
	if got := names(made); got != "abc" {
		t.Errorf("who is between them makes it: %s", got)
	}
	w.members[1].err = errors.New("gone")
	if got := names(all); got != "a c de" {
		t.Errorf("who was between them is gone: %s", got)
	}
	l := &link{until: w.now.Add(linkPatience)}
	w.members[0].links[w.members[2]], w.members[2].links[w.members[0]] = l, l
	if got := names(all); got != "ac de" {
		t.Errorf("a link that may yet come up: %s", got)
	}
	w.now = w.now.Add(2 * linkPatience)
	if got := names(all); got != "a c de" {
		t.Errorf("a link that never came up: %s", got)
	}
}

// TestScheduleOnce: each island is sent each chunk once, spread over its members, as far as their windows go.
func TestScheduleOnce(t *testing.T) {
	w := newWorld("a", "b", "c")
	w.link(0, 1)
	w.members[2].pace.each = time.Second
	b := w.blob(2, 0, 1, 2)
	w.schedule(w.now)
	w.schedule(w.now)
	if got := fmt.Sprint(w.under()); got != "[1 1 2]" {
		t.Errorf("under way: %s, want [1 1 2]", got)
	}
	w.has(b, 0, 0)
	w.schedule(w.now)
	if got := fmt.Sprint(w.under()); got != "[0 1 2]" {
		t.Errorf("under way after one came: %s, want [0 1 2]", got)
	}
}

// TestScheduleSlow: a member on a slow line is sent nothing that a faster one lacks, and all when it is the only one left.
func TestScheduleSlow(t *testing.T) {
	w := newWorld("slow", "fast")
	w.link(0, 1)
	w.members[0].pace.each, w.members[1].pace.each = time.Second, 100*time.Millisecond
	b := w.blob(20, 0, 1)
	for range 3 {
		w.schedule(w.now)
	}
	room := w.members[1].pace.window(queueTime)
	if got := fmt.Sprint(w.under()); got != fmt.Sprint([]int{0, room}) {
		t.Errorf("under way: %s, want none to the slow one", got)
	}
	for i := range 20 {
		w.has(b, 1, i)
	}
	w.schedule(w.now)
	if got := w.under()[0]; got > 0 {
		t.Errorf("%d under way to the slow one, which its peer can give all", got)
	}
	alone := w.blob(20, 0)
	w.schedule(w.now)
	if got := w.under()[0]; got != leastWindow {
		t.Errorf("%d under way to the slow one of what nobody else wants", got)
	}
	late := w.blob(20, 0, 1)
	clear(w.members[0].under)
	alone.wants[w.members[0]].end(nil)
	w.members[1].err = errors.New("gone")
	late.wants[w.members[1]].end(w.members[1].err)
	w.schedule(w.now)
	if got := w.under()[0]; got != leastWindow || late.wants[w.members[0]].slow {
		t.Errorf("%d under way to the slow one once the fast one is gone", got)
	}
}

// TestScheduleSlowHolder: what only a member on a slow line has, is sent to a faster one too after a while.
func TestScheduleSlowHolder(t *testing.T) {
	w := newWorld("slow", "fast")
	w.link(0, 1)
	b := w.blob(1, 0, 1)
	w.has(b, 0, 0)
	w.members[0].pace.each, w.members[1].pace.each = time.Second, 100*time.Millisecond
	w.schedule(w.now)
	if got := w.under()[1]; got != 0 {
		t.Errorf("%d under way at once, before its peer could give it", got)
	}
	w.now = w.now.Add(longAgo)
	for _, m := range w.members {
		m.heard = w.now
	}
	w.schedule(w.now)
	if got := w.under()[1]; got != 1 {
		t.Errorf("%d under way after %s", got, longAgo)
	}
}

// longAgo is longer than the delays of these tests make a chunk late.
const longAgo = 4 * hedgeLeast

// TestScheduleStuck: a member that was fast and takes nothing more is no reason to pass others by.
func TestScheduleStuck(t *testing.T) {
	w := newWorld("slow", "stuck")
	w.link(0, 1)
	w.members[0].pace.each, w.members[1].pace.each = time.Second, 100*time.Millisecond
	w.blob(40, 0, 1)
	w.schedule(w.now)
	for range 60 {
		w.now = w.now.Add(time.Second)
		for _, m := range w.members { // it lives, and answers pings
			m.heard = w.now
		}
		w.schedule(w.now)
	}
	if got := w.under()[0]; got == 0 {
		t.Error("nothing is under way to the slow one after a minute")
	}
}

func TestScheduleWindow(t *testing.T) {
	w := newWorld("a")
	b := w.blob(100, 0)
	w.schedule(w.now)
	if got := w.under()[0]; got != leastWindow {
		t.Errorf("at first %d are under way, want %d", got, leastWindow)
	}
	for i := range 10 { // each takes 10 ms
		w.now = w.now.Add(10 * time.Millisecond)
		w.members[0].under[key{b, i}] = w.now.Add(-10 * time.Millisecond)
		w.has(b, 0, i)
	}
	w.schedule(w.now)
	if got := w.under()[0]; got < 10 || got > mostWindow {
		t.Errorf("on a fast line %d are under way", got)
	}
	for each, want := range map[time.Duration]int{0: leastWindow, time.Nanosecond: mostWindow, 50 * time.Millisecond: 6, time.Minute: leastWindow} {
		if got := (&pace{each}).window(queueTime); got != want {
			t.Errorf("%s a chunk: a window of %d, want %d", each, got, want)
		}
	}
}

// TestScheduleHedge: a chunk that takes far longer than usual is sent to another member of the island, too.
func TestScheduleHedge(t *testing.T) {
	w := newWorld("a", "b")
	w.link(0, 1)
	w.blob(1, 0, 1)
	w.schedule(w.now)
	first := w.under()
	heard := func(after time.Duration) {
		w.now = w.now.Add(after)
		for _, m := range w.members {
			m.heard = w.now
		}
		w.schedule(w.now)
	}
	heard(w.late() - time.Millisecond)
	if got := w.under(); !slices.Equal(got, first) {
		t.Errorf("not late yet: %v, then %v", first, got)
	}
	heard(2 * time.Millisecond)
	if got := fmt.Sprint(w.under()); got != "[1 1]" {
		t.Errorf("late: under way %s, want [1 1]", got)
	}
	w.delays = []time.Duration{time.Second, 2 * time.Second, 90 * time.Second}
	if got := w.late(); got != hedgeFactor*2*time.Second {
		t.Errorf("late is %s", got)
	}
}

// TestScheduleSuspect: what only a silent member has is sent to another; when all are silent, it is the line from here.
func TestScheduleSuspect(t *testing.T) {
	w := newWorld("a", "b")
	w.link(0, 1)
	b := w.blob(1, 0, 1)
	w.has(b, 0, 0)
	w.schedule(w.now)
	if got := fmt.Sprint(w.under()); got != "[0 0]" {
		t.Errorf("b gets it from a: %s", got)
	}
	later := w.now.Add(2 * suspectAfter)
	if w.suspect(w.members[0], later) {
		t.Error("all are silent, and one is suspect")
	}
	w.members[1].heard = later
	if !w.suspect(w.members[0], later) || w.suspect(w.members[1], later) {
		t.Error("the silent one of two is not suspect, or the other is")
	}
	w.schedule(later)
	if got := fmt.Sprint(w.under()); got != "[0 1]" {
		t.Errorf("a is silent: under way %s, want [0 1]", got)
	}
}

// TestScheduleRescue: a member to which its peers bring nothing is fed from here.
func TestScheduleRescue(t *testing.T) {
	w := newWorld("a", "b")
	w.link(0, 1)
	b := w.blob(1, 0, 1)
	w.has(b, 0, 0)
	later := w.now.Add(rescueAfter + time.Second)
	w.members[0].heard, w.members[1].heard = later, later
	w.schedule(later)
	if got := fmt.Sprint(w.under()); got != "[0 1]" {
		t.Errorf("under way: %s, want [0 1]", got)
	}
}

// TestScheduleSeen: nothing is sent to a member that has not said what an earlier run has left it, for a while.
func TestScheduleSeen(t *testing.T) {
	w := newWorld("a")
	b := w.blob(1, 0)
	b.wants[w.members[0]].seen = 0
	w.schedule(w.now)
	if w.under()[0] != 0 {
		t.Error("sent before it was seen")
	}
	b.wants[w.members[0]].seen = 1
	w.schedule(w.now)
	if w.under()[0] != 1 {
		t.Error("not sent after it was seen")
	}
}

// TestAskTwice: an image may have a layer twice, and a member wants it once.
func TestAskTwice(t *testing.T) {
	w := newWorld("a")
	w.wake = make(chan struct{}, 1)
	m := w.members[0]
	b := w.blob(1, 0)
	b.name = "x"
	w.byName["x"] = b
	first := b.wants[m]
	if again := m.Ask("x", nil, nil, wire.Produce{}, nil); again != first {
		t.Error("two wants of one blob")
	}
	w.has(b, 0, 0)
	w.finished(b, 5, [wire.SumSize]byte{})
	if n, _, err := first.Wait(t.Context()); n != 5 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}
