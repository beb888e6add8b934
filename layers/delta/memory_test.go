package delta

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
)

// hill is a large base or target that takes no memory: bytes that depend on where they are.
type hill struct{ size, seed int64 }

func (h hill) ReadAt(p []byte, off int64) (int, error) {
	n := int(min(int64(len(p)), h.size-off))
	for i := range n {
		x := (uint64(off+int64(i))/8 + uint64(h.seed)) * 0x9e3779b97f4a7c15
		p[i] = byte(x >> 56)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// heapWatch looks at the heap now and then.
type heapWatch struct {
	mu          sync.Mutex
	start, most uint64
	next, bytes int
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

func (h *heapWatch) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bytes += len(p); h.bytes >= h.next {
		h.next = h.bytes + 2<<20
		h.most = max(h.most, heapInUse())
	}
	return len(p), nil
}

// TestApplyMemory applies the patch that is worst for memory, whose segments are all full: literals that pack a little,
// and copies, differences and moves between them.
func TestApplyMemory(t *testing.T) {
	const pieces, piece = 40, 1 << 20
	literals := words(1, 3*piece/4)
	h := Header{BaseSize: piece}
	var patch bytes.Buffer
	w, err := newPatchWriter(&patch, h, layout{}, layout{})
	must(t, err)
	for range pieces {
		must(t, w.insert(literals))
		must(t, w.differ(literals[:piece/8], 5))
		must(t, w.clone(piece/8, 100))
	}
	_, err = w.finish()
	must(t, err)
	h.TargetSize = pieces * piece
	packed := append(h.encode(), patch.Bytes()[headerSize:]...)

	defer debug.SetGCPercent(debug.SetGCPercent(20))
	watch := &heapWatch{start: heapInUse()}
	_, err = Apply(context.WithoutCancel(t.Context()), watch, hill{piece, 1}, bytes.NewReader(packed))
	if _, wrong := err.(*MismatchError); !wrong { // nobody knows its digest
		t.Fatalf("%v", err)
	}
	if grown := watch.most - watch.start; grown > 32<<20 {
		t.Errorf("%d bytes of memory", grown)
	}
	t.Logf("%d bytes of memory, for %d bytes", watch.most-watch.start, watch.bytes)
}

// watchedHill looks at the heap while it is read.
type watchedHill struct {
	hill
	watch *heapWatch
}

func (h watchedHill) ReadAt(p []byte, off int64) (int, error) {
	_, _ = h.watch.Write(p) // it never fails
	return h.hill.ReadAt(p, off)
}

// TestMakeMemory makes a patch of two versions that have nothing in common, all of it literals.
func TestMakeMemory(t *testing.T) {
	const size = 32 << 20
	h := Header{BaseSize: size, TargetSize: size}
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	watch := &heapWatch{start: heapInUse()}
	s, err := Make(t.Context(), io.Discard, h, hill{size, 1 << 60}, watchedHill{hill{size, 1 << 50}, watch})
	must(t, err)
	if grown := watch.most - watch.start; grown > size/2+100<<20 {
		t.Errorf("%d bytes of memory", grown)
	}
	t.Logf("%d bytes of memory, %+v", watch.most-watch.start, s)
}
