package delta

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
)

func TestMake(t *testing.T) {
	for _, p := range pairs(t) {
		t.Run(p.name, func(t *testing.T) {
			patch, stats := makePatch(t, &p)
			apply(t, &p, patch)
			if p.most > 0 && len(patch) > p.most {
				t.Errorf("patch of %d bytes, want at most %d; %+v", len(patch), p.most, stats)
			}
			t.Logf("%d bytes, %+v", len(patch), stats)
			again, _ := makePatch(t, &p)
			if !bytes.Equal(patch, again) {
				t.Error("the second time it is another patch")
			}
			h, err := ReadHeader(bytes.NewReader(patch))
			if err != nil || h != p.header() {
				t.Errorf("header %+v, %v", h, err)
			}
		})
	}
}

// shortReader fails beyond its end, and with err if there is one.
type shortReader struct {
	*bytes.Reader
	err error
}

func (s shortReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.Reader.ReadAt(p, off)
	if n < len(p) && s.err != nil {
		err = s.err
	}
	return n, err
}

func TestMakeReadsFail(t *testing.T) {
	p := &pair{old: words(1, 500_000), new: words(2, 500_000)}
	broken := errors.New("broken disk")
	for _, err := range []error{nil, broken} {
		want := err
		if want == nil {
			want = io.ErrUnexpectedEOF
		}
		short := shortReader{bytes.NewReader(p.old[:400_000]), err}
		if _, err := Make(t.Context(), io.Discard, p.header(), short, bytes.NewReader(p.new)); !errors.Is(err, want) {
			t.Errorf("base: %v, want %v", err, want)
		}
		if _, err := Make(t.Context(), io.Discard, p.header(), bytes.NewReader(p.old), short); !errors.Is(err, want) {
			t.Errorf("target: %v, want %v", err, want)
		}
	}
}

// fullWriter fails after so many bytes.
type fullWriter int

var errFull = errors.New("disk full")

func (f *fullWriter) Write(p []byte) (int, error) {
	n := min(int(*f), len(p))
	*f -= fullWriter(n)
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

func TestMakeWritesFail(t *testing.T) {
	p := &pair{old: words(1, 100_000), new: randomBytes(2, 10<<20)}
	for _, n := range []fullWriter{0, 50, fullWriter(headerSize), 1000, 5 << 20} {
		s, err := Make(t.Context(), &n, p.header(), bytes.NewReader(p.old), bytes.NewReader(p.new))
		if !errors.Is(err, errFull) || s != (Stats{}) {
			t.Errorf("%d bytes: %+v, %v", n, s, err)
		}
	}
}

func TestMakeCancelled(t *testing.T) {
	p := &pair{old: words(1, 1000), new: words(1, 1000)}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := Make(ctx, io.Discard, p.header(), bytes.NewReader(p.old), bytes.NewReader(p.new)); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}

func TestMakeHeader(t *testing.T) {
	for _, h := range []Header{{BaseSize: -1}, {TargetSize: -1}, {BaseSize: maxSize + 1}} {
		if _, err := Make(t.Context(), io.Discard, h, bytes.NewReader(nil), bytes.NewReader(nil)); err == nil {
			t.Errorf("%+v was taken", h)
		}
	}
}
