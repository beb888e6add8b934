package peer

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ship/transfer/chunk"
	"ship/transfer/wire"
)

// Peers that ask for all they may and read nothing cost a chunk or two each.
func TestMemory(t *testing.T) {
	const peers = 8
	c := newContent(1, maxOwed*chunk.Size)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		defer f.close()
		h := f.hosts[0]
		h.want(1, c)
		for i := range c.chunks() {
			h.put(1, c, i)
		}
		heap := func() uint64 {
			synctest.Wait()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		for i := range peers {
			p, _ := f.newFake(h, fmt.Sprint(i))
			defer p.raw.Close()
			p.say(helloFrame())
			for j := range maxOwed {
				p.say(keyFrame(kindRequest, key{1, j}))
			}
		}
		if after := heap(); after > before+peers*3*chunk.Size {
			t.Errorf("%d peers cost %d bytes", peers, after-before)
		}
	})
}

// Both ends have more to send than any buffer takes, in both directions.
func TestBothDirectionsFull(t *testing.T) {
	c, d := newContent(1, 30*chunk.Size), newContent(2, 30*chunk.Size)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		defer f.close()
		a, b := f.hosts[0], f.hosts[1]
		for _, h := range f.hosts {
			h.want(1, c)
			h.want(2, d)
		}
		for i := range c.chunks() {
			a.put(1, c, i)
			b.put(2, d, i)
		}
		f.link(a, b, nil)
		start := time.Now()
		f.complete(1, c, a, b)
		f.complete(2, d, a, b)
		if took := time.Since(start); took > 0 {
			t.Errorf("somebody waited for %s", took)
		}
	})
}

func TestNewsFrames(t *testing.T) {
	cases := map[string]struct {
		old, add []int
		kind     wire.Kind
	}{
		"one":       {nil, []int{0}, kindHave},
		"few":       {[]int{3, 70}, []int{5, 64, 700}, kindHave},
		"last":      {nil, []int{chunk.MaxChunks - 1}, kindHave},
		"many":      {[]int{1}, run(100, 100+manyNews), kindMap},
		"very many": {nil, run(0, 5000), kindMap},
	}
	for name, x := range cases {
		t.Run(name, func(t *testing.T) {
			var held, told, theirs set
			for _, i := range x.old {
				held.add(i)
			}
			if len(x.old) > 0 {
				_, _ = newsFrame(7, held, &told)
			}
			for _, i := range x.add {
				held.add(i)
			}
			f, ok := newsFrame(7, held, &told)
			if !ok || f.kind != x.kind {
				t.Fatalf("kind %d, %t", f.kind, ok)
			}
			id, got, err := parseNews(f.kind, f.payload)
			if err != nil || id != 7 {
				t.Fatalf("blob %d, %v", id, err)
			}
			theirs.grow(len(held))
			for w := range got {
				theirs[w] |= got[w]
			}
			for _, i := range x.add {
				if !theirs.has(i) {
					t.Errorf("chunk %d is lost", i)
				}
				theirs.remove(i)
			}
			for w := range theirs {
				each(w, theirs[w], func(i int) {
					if !held.has(i) {
						t.Errorf("chunk %d is made up", i)
					}
				})
			}
			if f, ok := newsFrame(7, held, &told); ok {
				t.Errorf("told again: %+v", f)
			}
		})
	}
}

func run(from, to int) []int {
	var all []int
	for i := from; i < to; i++ {
		all = append(all, i)
	}
	return all
}

// Whatever a peer says, the link ends with an error, in little memory, and what is held stays right.
func FuzzLink(f *testing.F) {
	c := newContent(1, 3*chunk.Size)
	dir, err := os.MkdirTemp("", "ship-fuzz-")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = os.RemoveAll(dir) }) // of the system's temporary folder
	store, err := chunk.Open(dir, 1<<30)
	if err != nil {
		f.Fatal(err)
	}
	b, err := store.Blob(chunk.Name(fmt.Sprintf("fuzz-%d", os.Getpid())))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(b.Close)
	if _, err := b.Announce(0, c.sums); err != nil {
		f.Fatal(err)
	}
	if _, err := b.Put(0, c.chunk(0)); err != nil {
		f.Fatal(err)
	}
	frames := func(all ...frame) []byte {
		var line bytes.Buffer
		conn := wire.NewConn(&line)
		for _, x := range all {
			if err := conn.Send(x.kind, x.payload); err != nil {
				f.Fatal(err)
			}
		}
		return line.Bytes()
	}
	held := set{6}
	news, _ := newsFrame(1, held, new(set))
	k := key{1, 1}
	f.Add(frames(helloFrame(), news, keyFrame(kindRequest, key{1, 0}), keyFrame(kindCancel, key{1, 0}), frame{kind: kindPing}))
	f.Add(frames(helloFrame(), news, keyFrame(kindMiss, k), keyFrame(kindRequest, key{2, 0})))
	f.Add(frames(helloFrame(), news, frame{kindChunk, append(keyFrame(kindChunk, k).payload, "wrong"...)}))
	f.Add(frames(helloFrame(), frame{kindMap, append([]byte{0, 0, 0, 1, 0, 0, 0, 64}, make([]byte, 16)...)}))
	f.Fuzz(func(t *testing.T, in []byte) {
		n := New(Options{})
		n.Add(1, b)
		x, y := net.Pipe()
		var all sync.WaitGroup
		all.Go(func() {
			_, _ = io.Copy(io.Discard, y) // what is said to the fuzzer does not matter
		})
		all.Go(func() {
			_, _ = y.Write(in) // the link may end before
			y.Close()
		})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := n.Link(t.Context(), "fuzz", x); err == nil {
			t.Error("the link ended without an error")
		}
		runtime.ReadMemStats(&after)
		all.Wait()
		n.Close()
		if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20+100*uint64(len(in)) {
			t.Errorf("%d bytes of memory for %d bytes", used, len(in))
		}
		if b.Count() != 1 {
			t.Errorf("%d chunks are held", b.Count())
		}
	})
}
