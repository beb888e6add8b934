//go:build unix

package helper_test

import (
	"bytes"
	"slices"
	"testing"

	"ship/transfer/chunk"
	"ship/transfer/wire"
)

// What is opened again is the same blob, with what is held of it; what was open under the number or the name is free.
func TestBlobOpenedAgain(t *testing.T) {
	t.Parallel()
	h := start(t, build(t))
	whole, last := bytes.Repeat([]byte("ship"), chunk.Size/4), []byte("the end")
	if have := h.blob(t, 1, "blob", whole, last); len(have) > 0 {
		t.Fatalf("a new blob has chunks %v", have)
	}
	if err := h.data(t).SendChunk(wire.KindChunk, wire.Chunk{Blob: 1, Data: whole}); err != nil {
		t.Fatal(err)
	}
	h.hear(t, wire.KindHave)
	for _, id := range []uint32{1, 2} {
		if have := h.blob(t, id, "blob", whole, last); !slices.Equal(have, []uint32{0}) {
			t.Errorf("opened again as %d it has chunks %v", id, have)
		}
	}
	if have := h.blob(t, 2, "another", last); len(have) > 0 {
		t.Errorf("another blob has chunks %v", have)
	}
	h.mustLeave(t, "blob")
}

// A chunk that was on its way when its blob was opened again does it no harm.
func TestChunkOfBlobOpenedAgain(t *testing.T) {
	t.Parallel()
	h := start(t, build(t))
	data := h.data(t)
	h.say(t, wire.KindOpen, wire.Open{Blob: 1, Name: "blob"})
	for _, id := range []uint32{1, 7} { // not announced, not open
		if err := data.SendChunk(wire.KindChunk, wire.Chunk{Blob: id, Index: 5, Data: []byte("early")}); err != nil {
			t.Fatal(err)
		}
	}
	h.blob(t, 1, "blob", []byte("late"))
	if err := data.SendChunk(wire.KindChunk, wire.Chunk{Blob: 1, Data: []byte("late")}); err != nil {
		t.Fatal(err)
	}
	if x, err := wire.ParseHave(h.hear(t, wire.KindHave)); err != nil || x.Blob != 1 {
		t.Errorf("%+v %v", x, err)
	}
}
