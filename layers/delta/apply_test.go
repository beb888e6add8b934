package delta

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
)

func TestApplyWrongBase(t *testing.T) {
	for _, p := range pairs(t) {
		patch, stats := makePatch(t, &p)
		if stats.Copied == 0 {
			continue
		}
		wrong := slices.Repeat([]byte{7}, len(p.old))
		var out bytes.Buffer
		_, err := Apply(t.Context(), &out, bytes.NewReader(wrong), bytes.NewReader(patch))
		var m *MismatchError
		if !errors.Is(err, ErrMismatch) || errors.As(err, &m) && (m.Want != p.header().Target || m.Got == m.Want) {
			t.Errorf("%s: %v", p.name, err)
		}
		if out.Len() >= len(p.new) {
			t.Errorf("%s: all %d bytes were written", p.name, out.Len())
		}
	}
}

func TestApplyBaseReadsFail(t *testing.T) {
	p := &pair{old: words(1, 500_000)}
	p.new = p.old
	patch, _ := makePatch(t, p)
	for _, n := range []int{0, 1, 20_000, 499_999} {
		_, err := Apply(t.Context(), io.Discard, bytes.NewReader(p.old[:n]), bytes.NewReader(patch))
		if !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrPatch) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// TestApplyDamage cuts and damages patches everywhere.
func TestApplyDamage(t *testing.T) {
	for _, p := range pairs(t) {
		patch, _ := makePatch(t, &p)
		step := max(1, len(patch)/13)
		for i := 0; i < len(patch); i += step {
			h, err := Apply(t.Context(), io.Discard, bytes.NewReader(p.old), bytes.NewReader(patch[:i]))
			if !errors.Is(err, ErrPatch) {
				t.Fatalf("%s: cut at %d of %d: %+v, %v", p.name, i, len(patch), h, err)
			}
			bad := bytes.Clone(patch)
			bad[i] ^= 1 << (i % 8)
			if inHeaderBase := i >= len(patchMagic) && i < len(patchMagic)+32; inHeaderBase {
				continue // Apply takes the caller's word for the base: the target's digest covers it
			}
			out := &bytes.Buffer{}
			_, err = Apply(t.Context(), out, bytes.NewReader(p.old), bytes.NewReader(bad))
			if err == nil && !bytes.Equal(out.Bytes(), p.new) {
				t.Fatalf("%s: damaged at %d of %d, and nobody noticed", p.name, i, len(patch))
			}
			if err != nil && len(p.new) > 0 && out.Len() >= len(p.new) {
				t.Fatalf("%s: damaged at %d of %d: all was written before %v", p.name, i, len(patch), err)
			}
		}
	}
}

func TestApplyMore(t *testing.T) {
	p := &pair{old: words(1, 1000), new: words(2, 1000)}
	patch, _ := makePatch(t, p)
	if _, err := Apply(t.Context(), io.Discard, bytes.NewReader(p.old), bytes.NewReader(append(patch, 0))); !errors.Is(err, ErrPatch) {
		t.Errorf("%v", err)
	}
}

func TestApplyWritesFail(t *testing.T) {
	p := &pair{old: words(1, 1<<20), new: words(1, 1<<20)}
	patch, _ := makePatch(t, p)
	for _, n := range []fullWriter{0, 1, 300_000, 1<<20 - 1} {
		if _, err := Apply(t.Context(), &n, bytes.NewReader(p.old), bytes.NewReader(patch)); !errors.Is(err, errFull) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestApplyCancelled(t *testing.T) {
	p := &pair{old: words(1, 1<<20), new: words(1, 1<<20)}
	patch, _ := makePatch(t, p)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := Apply(ctx, io.Discard, bytes.NewReader(p.old), bytes.NewReader(patch)); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}

// TestApplyBadOperations writes patches whose segments are whole, with operations that are not.
func TestApplyBadOperations(t *testing.T) {
	ops := func(all ...op) (b []byte) {
		for _, o := range all {
			b = appendOp(b, o)
		}
		return b
	}
	const size = 1000
	for _, c := range []struct {
		name string
		raw  segment
	}{
		{"copy beyond the base", segment{ops(op{clone, size + 1})}},
		{"copy before the base", segment{ops(op{move, -1}, op{clone, 10})}},
		{"copy after a far move", segment{ops(op{move, maxSize}, op{move, maxSize}, op{clone, 10})}},
		{"more than the target", segment{ops(op{clone, size}, op{insert, 1}), nil, []byte{1}}},
		{"no bytes", segment{ops(op{move, 1})}},
		{"copy of no bytes", segment{ops(op{clone, 0})}},
		{"a length beyond all", segment{bytes.Repeat([]byte{0xff}, 10)}},
		{"too few literals", segment{ops(op{insert, 2}), nil, []byte{1}}},
		{"too few differences", segment{ops(op{differ, 2}), []byte{1}, nil}},
		{"literals to spare", segment{ops(op{insert, 1}), nil, []byte{1, 2}}},
		{"differences to spare", segment{ops(op{clone, 1}), []byte{1}, nil}},
		{"half an operation", segment{ops(op{clone, size})[:1]}},
		{"no operations", segment{nil, []byte{1}, nil}},
		{"less than the target", segment{ops(op{clone, 1})}},
	} {
		var patch bytes.Buffer
		w, err := newPatchWriter(&patch, Header{BaseSize: size, TargetSize: size}, layout{}, layout{})
		must(t, err)
		w.segments.raw = c.raw
		_, err = w.finish()
		must(t, err)
		var out bytes.Buffer
		if _, err := Apply(t.Context(), &out, bytes.NewReader(make([]byte, size)), &patch); !errors.Is(err, ErrPatch) {
			t.Errorf("%s: %v", c.name, err)
		}
		if out.Len() > 0 {
			t.Errorf("%s: %d bytes were written", c.name, out.Len())
		}
	}
}
