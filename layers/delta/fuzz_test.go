package delta

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"
)

// seedPair is a small one, so that fuzzing is fast.
func seedPair(t testing.TB) *pair {
	return &pair{old: tarOf(t, files(1, 5, 9000), before), new: tarOf(t, files(1, 6, 9000), after)}
}

func FuzzReadHeader(f *testing.F) {
	p := seedPair(f)
	h := p.header()
	f.Add(h.encode())
	f.Add([]byte(patchMagic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		h, err := ReadHeader(r)
		if err != nil {
			if !errors.Is(err, ErrPatch) || h != (Header{}) {
				t.Errorf("%+v, %v", h, err)
			}
			return
		}
		if read := b[:len(b)-r.Len()]; !bytes.Equal(h.encode(), read) {
			t.Errorf("%+v was %x", h, read)
		}
	})
}

// bounded counts bytes and keeps none.
type bounded int64

func (b *bounded) Write(p []byte) (int, error) {
	*b += bounded(len(p))
	return len(p), nil
}

// allocated runs f and returns how many bytes it allocated, freed ones included.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func FuzzApply(f *testing.F) {
	p := seedPair(f)
	patch, _ := makePatch(f, p)
	f.Add(patch)
	q := &pair{old: p.old, new: randomBytes(1, 2000)}
	patch, _ = makePatch(f, q)
	f.Add(patch)
	f.Add(append(patch[:headerSize:headerSize], 0, 0, 0, 0, 0, 0, 0, 0))
	all := pairs(f)
	packed := all[slices.IndexFunc(all, func(p pair) bool { return p.name == "packed sections" })]
	patch, _ = makePatch(f, &packed)
	f.Add(patch)
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bounded
		var h Header
		var err error
		most := uint64(32<<20 + 8*len(b))
		old := p.old
		if h, err := ReadHeader(bytes.NewReader(b)); err == nil && h.Base == packed.header().Base {
			old = packed.old
		}
		if got := allocated(func() { h, err = Apply(t.Context(), &out, bytes.NewReader(old), bytes.NewReader(b)) }); got > most {
			t.Errorf("%d bytes of memory, want at most %d", got, most)
		}
		if int64(out) > h.TargetSize || err != nil && int64(out) == h.TargetSize && out > 0 {
			t.Errorf("%d bytes of %d were written, and %v", out, h.TargetSize, err)
		}
		if err != nil && !errors.Is(err, ErrPatch) && !errors.Is(err, ErrMismatch) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v", err)
		}
	})
}

func FuzzMakeFromSignature(f *testing.F) {
	p := seedPair(f)
	f.Add(sign(f, p.old), p.new)
	f.Add(sign(f, words(1, 10_000)), words(1, 9000))
	f.Add([]byte(sigMagic), []byte{})
	f.Fuzz(func(t *testing.T, sig, new []byte) {
		q := &pair{new: new}
		h := q.header()
		var patch bytes.Buffer
		var err error
		most := uint64(128<<20 + 64*len(sig))
		if got := allocated(func() {
			_, err = MakeFromSignature(t.Context(), &patch, h, bytes.NewReader(sig), bytes.NewReader(new))
		}); got > most {
			t.Errorf("%d bytes of memory, want at most %d", got, most)
		}
		if err != nil {
			if !errors.Is(err, ErrSignature) {
				t.Errorf("%v", err)
			}
			return
		}
		var out bounded
		if _, err := Apply(t.Context(), &out, bytes.NewReader(p.old), &patch); errors.Is(err, ErrPatch) {
			t.Errorf("a patch that was just made: %v", err)
		}
	})
}

// FuzzSign signs whatever bytes, and patches from them.
func FuzzSign(f *testing.F) {
	p := seedPair(f)
	f.Add(p.old, p.new)
	f.Add(words(1, 10_000), words(1, 9000))
	f.Fuzz(func(t *testing.T, old, new []byte) {
		q := &pair{old: old, new: new}
		var patch bytes.Buffer
		_, err := MakeFromSignature(t.Context(), &patch, q.header(), bytes.NewReader(sign(t, old)), bytes.NewReader(new))
		must(t, err)
		apply(t, q, patch.Bytes())
		made, _ := makePatch(t, q)
		apply(t, q, made)
	})
}
