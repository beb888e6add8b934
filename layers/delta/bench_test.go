package delta

import (
	"bytes"
	"io"
	"testing"
)

// benchPair is a layer of 10 MB, all of whose files have another time, and some other content.
func benchPair(t testing.TB) *pair {
	all := files(1, 2000, 10_000)
	old := tarOf(t, all, before)
	for i := 50; i < len(all); i += 210 { // no folder is among them
		all[i].content = append(words(uint64(i), 500), all[i].content...)
	}
	return &pair{old: old, new: tarOf(t, all, after)}
}

func BenchmarkMake(b *testing.B) {
	p := benchPair(b)
	h := p.header()
	b.SetBytes(h.TargetSize)
	b.ReportAllocs()
	for b.Loop() {
		_, err := Make(b.Context(), io.Discard, h, bytes.NewReader(p.old), bytes.NewReader(p.new))
		must(b, err)
	}
}

func BenchmarkApply(b *testing.B) {
	p := benchPair(b)
	patch, _ := makePatch(b, p)
	b.SetBytes(int64(len(p.new)))
	b.ReportAllocs()
	for b.Loop() {
		_, err := Apply(b.Context(), io.Discard, bytes.NewReader(p.old), bytes.NewReader(patch))
		must(b, err)
	}
}

func BenchmarkSign(b *testing.B) {
	p := benchPair(b)
	b.SetBytes(int64(len(p.old)))
	b.ReportAllocs()
	for b.Loop() {
		must(b, Sign(b.Context(), io.Discard, bytes.NewReader(p.old)))
	}
}

func BenchmarkMakeFromSignature(b *testing.B) {
	p := benchPair(b)
	h, sig := p.header(), sign(b, p.old)
	b.SetBytes(h.TargetSize)
	b.ReportAllocs()
	for b.Loop() {
		_, err := MakeFromSignature(b.Context(), io.Discard, h, bytes.NewReader(sig), bytes.NewReader(p.new))
		must(b, err)
	}
}
