package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// opener gives layers of x's; how many are open at the end is counted.
type opener struct{ open int }

type layer struct {
	io.Reader
	o *opener
}

func (l layer) Close() error { l.o.open--; return nil }

func (o *opener) layer(s Splice) (io.ReadCloser, error) {
	if s.Size < 0 || s.Size > 1<<20 {
		return nil, fmt.Errorf("a layer of %d bytes", s.Size)
	}
	o.open++
	return layer{strings.NewReader(strings.Repeat("x", int(s.Size))), o}, nil
}

func TestPieces(t *testing.T) {
	var line, want bytes.Buffer
	w := NewPieceWriter(&line)
	long := bytes.Repeat([]byte("metadata"), maxPiece/5)
	for _, p := range [][]byte{[]byte("head"), nil, long} {
		if n, err := w.Write(p); err != nil || n != len(p) {
			t.Fatalf("%d of %d bytes, %v", n, len(p), err)
		}
		if err := w.Splice(Splice{Blob: 1, Size: 1000}); err != nil {
			t.Fatal(err)
		}
		want.Write(p)
		want.WriteString(strings.Repeat("x", 1000))
	}
	whole := line.Bytes()
	var o opener
	var got bytes.Buffer
	if err := CopyPieces(&got, iotest.HalfReader(bytes.NewReader(whole)), o.layer); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("%d bytes of %d, %v", got.Len(), want.Len(), err)
	}
	for _, n := range []int{1, 5, 7, len(whole) - 1} {
		if err := CopyPieces(io.Discard, bytes.NewReader(whole[:n]), o.layer); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
	if o.open != 0 {
		t.Errorf("%d layers are left open", o.open)
	}
}

func TestLayerOfWrongSize(t *testing.T) {
	var line bytes.Buffer
	if err := NewPieceWriter(&line).Splice(Splice{Size: 5}); err != nil {
		t.Fatal(err)
	}
	for _, have := range []string{"four", "sixsix"} {
		err := CopyPieces(io.Discard, bytes.NewReader(line.Bytes()), func(Splice) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(have)), nil
		})
		if err == nil {
			t.Errorf("a layer of %d bytes in place of 5", len(have))
		}
	}
	gone := errors.New("gone")
	err := CopyPieces(io.Discard, bytes.NewReader(line.Bytes()), func(Splice) (io.ReadCloser, error) { return nil, gone })
	if !errors.Is(err, gone) {
		t.Errorf("a layer that cannot be opened: %v", err)
	}
}

func FuzzCopyPieces(f *testing.F) {
	var line bytes.Buffer
	w := NewPieceWriter(&line)
	if _, err := w.Write([]byte("head")); err != nil {
		f.Fatal(err)
	}
	if err := w.Splice(Splice{Blob: 1, Size: 10, Base: "sha256:00"}); err != nil {
		f.Fatal(err)
	}
	f.Add(line.Bytes())
	f.Add([]byte("l\x00\x00\x00\x02{}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var o opener
		err := CopyPieces(io.Discard, bytes.NewReader(in), o.layer)
		if o.open != 0 {
			t.Errorf("%d layers are left open, %v", o.open, err)
		}
	})
}

func TestJoin(t *testing.T) {
	var line bytes.Buffer
	want := Join{Run: "r", Role: RolePeer, Name: "a\nb"}
	if err := SendJoin(&line, want); err != nil {
		t.Fatal(err)
	}
	line.WriteString("rest")
	if got, err := ReadJoin(&line); err != nil || got != want || line.String() != "rest" {
		t.Errorf("%+v, %v, %q is left", got, err, line.String())
	}
	for in, want := range map[string]error{
		"": io.ErrUnexpectedEOF, "{": io.ErrUnexpectedEOF, "\n": ErrFrame, "[]\n": ErrFrame, strings.Repeat("x", maxJoin+1): ErrFrame,
	} {
		if got, err := ReadJoin(strings.NewReader(in)); !errors.Is(err, want) || got != (Join{}) {
			t.Errorf("%.20q: %+v, %v", in, got, err)
		}
	}
}

func FuzzReadJoin(f *testing.F) {
	f.Add([]byte(`{"run":"r","role":"peer","name":"web-1"}` + "\nrest"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		got, err := ReadJoin(r)
		if used := len(in) - r.Len(); used > maxJoin {
			t.Errorf("%d bytes read", used)
		}
		if err != nil && got != (Join{}) {
			t.Errorf("%+v with %v", got, err)
		}
	})
}
