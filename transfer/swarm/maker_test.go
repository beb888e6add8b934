package swarm

import (
	"context"
	"crypto/sha256"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ship/transfer/chunk"
	"ship/transfer/wire"
)

// made is a world whose first member makes a blob of three chunks of 2 bytes that the others want.
func made(t *testing.T, names ...string) (world, *blob) {
	t.Helper()
	w := newWorld(names...)
	w.wake = make(chan struct{}, 1)
	var others []int
	for i, m := range w.members {
		m.ups, m.over = map[key]*up{}, make(chan struct{})
		m.says.come = make(chan struct{}, 1)
		if i > 0 {
			others = append(others, i)
		}
	}
	b := w.blob(3, others...)
	b.maker, b.asked = w.members[0], w.now
	for i := range b.sums {
		b.sums[i] = sha256.Sum256([]byte{'x', byte(i)})
	}
	b.tail = 2
	return w, b
}

// TestReadUpOnce: two who want the same chunk get one answer.
func TestReadUpOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := made(t, "maker", "b", "c")
		m := w.members[0]
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if p, err := m.readUp(t.Context(), b, 2); string(p) != "x\x02" || err != nil {
					t.Errorf("%q, %v", p, err)
				}
			})
		}
		synctest.Wait()
		if n := len(m.says.list); n != 1 {
			t.Errorf("asked %d times", n)
		}
		m.answerUp(wire.Chunk{Blob: b.id, Index: 2, Data: []byte("x\x02")})
		wg.Wait()
		if len(m.ups) != 0 {
			t.Error("the chunk is still waited for")
		}
	})
}

// TestReadUpLies: what a maker sends is what it announced, or its fault.
func TestReadUpLies(t *testing.T) {
	for name, answer := range map[string]func(m *Member, b *blob){
		"other bytes": func(m *Member, b *blob) { m.answerUp(wire.Chunk{Blob: b.id, Index: 2, Data: []byte("y\x02")}) },
		"more bytes":  func(m *Member, b *blob) { m.answerUp(wire.Chunk{Blob: b.id, Index: 2, Data: []byte("x\x02z")}) },
		"nothing":     func(*Member, *blob) {},
		"its end":     func(m *Member, _ *blob) { close(m.over) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, b := made(t, "maker", "b")
				m := w.members[0]
				got := make(chan error)
				go func() {
					_, err := m.readUp(t.Context(), b, 2)
					got <- err
				}()
				synctest.Wait()
				answer(m, b)
				if err := <-got; !errors.Is(err, ErrMaker) {
					t.Errorf("%v, want ErrMaker", err)
				}
			})
		})
	}
}

// TestAskDeadMaker: a maker that has ended since it was chosen fails the blob, which can then be made here.
func TestAskDeadMaker(t *testing.T) {
	w, _ := made(t, "maker", "b")
	w.members[0].err = ErrGone
	x := w.members[1].Ask("x", nil, w.members[0], wire.Produce{}, func(int64, byte) {})
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	if _, _, err := x.Wait(ctx); !errors.Is(err, ErrMaker) {
		t.Errorf("%v, want ErrMaker", err)
	}
}

// TestMakerBounds: a maker that never ends, or goes on after the end, fails its blob.
func TestMakerBounds(t *testing.T) {
	sums := func(n int) [][wire.SumSize]byte { return make([][wire.SumSize]byte, n) }
	for name, tell := range map[string]func(w world, m *Member, id uint32){
		"too many chunks": func(w world, m *Member, id uint32) {
			w.produced(m, wire.Announce{Blob: id, First: 3, Sums: sums(chunk.MaxChunks - 2)})
		},
		"after its end": func(w world, m *Member, id uint32) {
			w.made(m, wire.Finish{Blob: id, Size: 2*chunk.Size + 2})
			w.produced(m, wire.Announce{Blob: id, First: 3, Sums: sums(1)})
		},
		"a second end": func(w world, m *Member, id uint32) {
			w.made(m, wire.Finish{Blob: id, Size: 2*chunk.Size + 2})
			w.made(m, wire.Finish{Blob: id, Size: 2*chunk.Size + 3})
		},
		"nothing more": func(w world, _ *Member, _ uint32) { w.schedule(w.now.Add(2 * makerPatience)) },
	} {
		t.Run(name, func(t *testing.T) {
			w, b := made(t, "maker", "b")
			x := b.wants[w.members[1]]
			tell(w, w.members[0], b.id)
			if _, _, err := x.Wait(t.Context()); !errors.Is(err, ErrMaker) {
				t.Errorf("%v, want ErrMaker", err)
			}
			if len(b.sums) > 4 {
				t.Errorf("%d chunks are kept", len(b.sums))
			}
		})
	}
}

// TestSilentMember: a helper that neither says nor takes anything is given up; one on a slow line is not.
func TestSilentMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := made(t, "maker", "b")
		m := w.members[1]
		ours, theirs := net.Pipe()
		defer theirs.Close()
		m.conn = ours
		var wg sync.WaitGroup
		wg.Go(m.ping)
		slow := alive{ours, m}
		for range 5 {
			time.Sleep(20 * time.Second)
			wg.Go(func() { _, _ = theirs.Read(make([]byte, 1)) })
			if _, err := slow.Write([]byte{1}); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Err(); err != nil {
			t.Fatalf("a slow one: %v", err)
		}
		time.Sleep((silentMost + 2) * time.Second)
		if err := m.Err(); !errors.Is(err, ErrGone) || !errors.Is(err, errSilent) {
			t.Errorf("a silent one: %v", err)
		}
		wg.Wait()
	})
}

// TestFailedReadFreesItsPlace: a chunk that cannot be read fails its blob, and takes no place of the window for good.
func TestFailedReadFreesItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := made(t, "a", "b")
		b.maker = nil // and no source is open
		ctx, stop := context.WithCancel(t.Context())
		w.feeds = ctx
		m := w.members[1]
		ours, theirs := net.Pipe()
		defer theirs.Close()
		var wg sync.WaitGroup
		w.schedule(w.now)
		wg.Go(func() { m.feed(ours) })
		synctest.Wait()
		if _, _, err := b.wants[m].Wait(t.Context()); err == nil {
			t.Error("the blob has not failed")
		}
		if n := len(m.under); n != 0 {
			t.Errorf("%d places are taken", n)
		}
		stop()
		wg.Wait()
	})
}
