package delta

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"
)

func sign(t testing.TB, old []byte) []byte {
	t.Helper()
	var sig bytes.Buffer
	must(t, Sign(t.Context(), &sig, bytes.NewReader(old)))
	return sig.Bytes()
}

func TestMakeFromSignature(t *testing.T) {
	for _, p := range pairs(t) {
		t.Run(p.name, func(t *testing.T) {
			sig := sign(t, p.old)
			if most := 200 + len(p.old)/50; len(sig) > most {
				t.Errorf("signature of %d bytes, want at most %d", len(sig), most)
			}
			h := p.header()
			var patch, again bytes.Buffer
			stats, err := MakeFromSignature(t.Context(), &patch, h, bytes.NewReader(sig), bytes.NewReader(p.new))
			must(t, err)
			apply(t, &p, patch.Bytes())
			if patch.Len() > p.mostSigned && p.mostSigned > 0 {
				t.Errorf("patch of %d bytes, want at most %d", patch.Len(), p.mostSigned)
			}
			if stats.Size != int64(patch.Len()) || stats.Copied+stats.Added != h.TargetSize {
				t.Errorf("%+v, for a patch of %d bytes and a target of %d", stats, patch.Len(), h.TargetSize)
			}
			t.Logf("up %d bytes, down %d, %+v", len(sig), patch.Len(), stats)
			h.BaseSize = 0 // the signature knows
			_, err = MakeFromSignature(t.Context(), &again, h, bytes.NewReader(sig), iotest.OneByteReader(bytes.NewReader(p.new)))
			must(t, err)
			if !bytes.Equal(patch.Bytes(), again.Bytes()) {
				t.Error("the second time it is another patch")
			}
		})
	}
}

// TestSignKinds is about what tars have in them beside files.
func TestSignKinds(t *testing.T) {
	make := func(when time.Time) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range []*tar.Header{
			{Name: "folder/", Typeflag: tar.TypeDir, Mode: 0o755},
			{Name: "link", Linkname: "folder", Typeflag: tar.TypeSymlink},
			{Name: "hard", Linkname: "file", Typeflag: tar.TypeLink},
			{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3},
			{Name: "pipe", Typeflag: tar.TypeFifo},
			{Name: "empty", Typeflag: tar.TypeReg, Mode: 0o600},
			{Name: "gnu" + string(bytes.Repeat([]byte("x"), 300)), Typeflag: tar.TypeReg, Format: tar.FormatGNU, Size: 10},
			{Name: "pax" + string(bytes.Repeat([]byte("x"), 300)), Typeflag: tar.TypeReg, Format: tar.FormatPAX, Size: 1000,
				PAXRecords: map[string]string{"SCHILY.xattr.security.capability": "\x01\x00"}},
			{Name: "huge id", Typeflag: tar.TypeReg, Format: tar.FormatGNU, Uid: 1 << 40, Size: 512},
		} {
			h.ModTime = when
			must(t, w.WriteHeader(h))
			_, err := w.Write(words(9, int(h.Size)))
			must(t, err)
		}
		must(t, w.Close())
		return b.Bytes()
	}
	p := &pair{old: make(before), new: make(after)}
	var patch bytes.Buffer
	stats, err := MakeFromSignature(t.Context(), &patch, p.header(), bytes.NewReader(sign(t, p.old)), bytes.NewReader(p.new))
	must(t, err)
	apply(t, p, patch.Bytes())
	if stats.Added > 0 {
		t.Errorf("%d bytes were not found: %+v", stats.Added, stats)
	}
}

// TestSignCutTar signs tars that end in the middle.
func TestSignCutTar(t *testing.T) {
	whole := tarOf(t, []entry{{"a", words(1, 1000)}, {"b", words(2, 300_000)}}, before)
	for n := 0; n < len(whole); n += 10_007 {
		p := &pair{old: whole[:n], new: whole}
		var patch bytes.Buffer
		_, err := MakeFromSignature(t.Context(), &patch, p.header(), bytes.NewReader(sign(t, p.old)), bytes.NewReader(p.new))
		must(t, err)
		apply(t, p, patch.Bytes())
	}
}

// TestSignatureOfAnother makes a patch that must not be believed.
func TestSignatureOfAnother(t *testing.T) {
	p := &pair{old: words(1, 300_000), new: words(1, 300_000)}
	sig := sign(t, words(1, 300_000))
	copy(p.old[1000:], "something else")
	var patch, out bytes.Buffer
	_, err := MakeFromSignature(t.Context(), &patch, p.header(), bytes.NewReader(sig), bytes.NewReader(p.new))
	must(t, err)
	if _, err := Apply(t.Context(), &out, bytes.NewReader(p.old), &patch); !errors.Is(err, ErrMismatch) {
		t.Errorf("%v", err)
	}
}

func TestMakeFromSignatureFails(t *testing.T) {
	p := &pair{old: words(1, 3000), new: words(2, 3000)}
	sig := sign(t, p.old)
	broken := errors.New("broken")
	other := p.header()
	other.BaseSize++
	longer := p.header()
	longer.TargetSize++
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	full := fullWriter(100)
	for _, c := range []struct {
		name string
		ctx  context.Context
		w    io.Writer
		h    Header
		sig  io.Reader
		new  io.Reader
		want error
	}{
		{"signature fails", t.Context(), io.Discard, p.header(), iotest.ErrReader(broken), bytes.NewReader(p.new), broken},
		{"target fails", t.Context(), io.Discard, p.header(), bytes.NewReader(sig), iotest.ErrReader(broken), broken},
		{"no room", t.Context(), &full, p.header(), bytes.NewReader(sig), bytes.NewReader(p.new), errFull},
		{"cancelled", ctx, io.Discard, p.header(), bytes.NewReader(sig), bytes.NewReader(p.new), broken},
		{"another base", t.Context(), io.Discard, other, bytes.NewReader(sig), bytes.NewReader(p.new), ErrSignature},
		{"target too short", t.Context(), io.Discard, longer, bytes.NewReader(sig), bytes.NewReader(p.new), io.ErrUnexpectedEOF},
	} {
		if s, err := MakeFromSignature(c.ctx, c.w, c.h, c.sig, c.new); !errors.Is(err, c.want) || s != (Stats{}) {
			t.Errorf("%s: %+v, %v", c.name, s, err)
		}
	}
	if err := Sign(ctx, io.Discard, bytes.NewReader(p.old)); !errors.Is(err, broken) {
		t.Errorf("cancelled: %v", err)
	}
	if err := Sign(t.Context(), io.Discard, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("base fails: %v", err)
	}
	full = 10
	if err := Sign(t.Context(), &full, bytes.NewReader(p.old)); !errors.Is(err, errFull) {
		t.Errorf("no room: %v", err)
	}
}

// TestSignatureDamage cuts and damages a signature everywhere. What is not seen in it is seen by Apply.
func TestSignatureDamage(t *testing.T) {
	p := &pair{old: tarOf(t, files(1, 30, 9000), before), new: tarOf(t, files(1, 31, 9000), after)}
	sig := sign(t, p.old)
	for i := 0; i < len(sig); i += 31 {
		_, err := MakeFromSignature(t.Context(), io.Discard, p.header(), bytes.NewReader(sig[:i]), bytes.NewReader(p.new))
		if !errors.Is(err, ErrSignature) {
			t.Fatalf("cut at %d of %d: %v", i, len(sig), err)
		}
		bad := bytes.Clone(sig)
		bad[i] ^= 1 << (i % 8)
		var patch, out bytes.Buffer
		_, err = MakeFromSignature(t.Context(), &patch, p.header(), bytes.NewReader(bad), bytes.NewReader(p.new))
		if errors.Is(err, ErrSignature) {
			continue
		}
		must(t, err)
		if _, err := Apply(t.Context(), &out, bytes.NewReader(p.old), &patch); err == nil && !bytes.Equal(out.Bytes(), p.new) {
			t.Fatalf("damaged at %d of %d, and nobody noticed", i, len(sig))
		}
	}
}
