//go:build linux

package helper_test

import (
	"bytes"
	"crypto/sha256"
	"os/exec"
	"strings"
	"testing"

	"ship/transfer/chunk"
	"ship/transfer/place"
	"ship/transfer/wire"
)

// TestArm64 speaks with the helper for arm64, run by an emulator, as a controller does: a blob goes there and back.
func TestArm64(t *testing.T) {
	t.Parallel()
	const qemu = "qemu-aarch64-static" // hack/setup installs it
	program := build(t, "GOARCH=arm64", "CGO_ENABLED=0")
	out, err := exec.CommandContext(t.Context(), qemu, program, "check").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != place.Checked {
		t.Fatalf("check: %q, %v", out, err)
	}
	h := start(t, qemu, program)
	chunks := [][]byte{bytes.Repeat([]byte("ship"), chunk.Size/4), bytes.Repeat([]byte("arm64"), chunk.Size/5+1)[:chunk.Size], []byte("the end")}
	if have := h.blob(t, 1, "blob", chunks...); len(have) > 0 {
		t.Fatalf("a new blob has chunks %v", have)
	}
	data := h.data(t)
	for i, c := range chunks {
		if err := data.SendChunk(wire.KindChunk, wire.Chunk{Blob: 1, Index: uint32(i), Data: c}); err != nil {
			t.Fatal(err)
		}
	}
	for n := 0; n < len(chunks); {
		x, err := wire.ParseHave(h.hear(t, wire.KindHave))
		if err != nil {
			t.Fatal(err)
		}
		n += len(x.Items)
	}
	for i, c := range chunks {
		if err := h.control.SendChunk(wire.KindRead, wire.Chunk{Blob: 1, Index: uint32(i)}); err != nil {
			t.Fatal(err)
		}
		up, err := wire.ParseChunk(h.hear(t, wire.KindChunkUp))
		if err != nil || up.Index != uint32(i) || sha256.Sum256(up.Data) != sha256.Sum256(c) {
			t.Errorf("chunk %d came back as chunk %d of %d bytes, %v", i, up.Index, len(up.Data), err)
		}
	}
}
