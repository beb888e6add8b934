package layers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestRecodeFindsADamagedLayer(t *testing.T) {
	s := newSeedImage(t, 200<<10, "a")
	for _, z := range []Compression{Gzip, Zstd} {
		b := packed(t, s.plain[0], z)
		if err := recode(io.Discard, Gzip, bytes.NewReader(b[:len(b)/2]), z, s.ids[0]); err == nil {
			t.Errorf("%s: a cut layer passes", z)
		}
	}
	var bad *MismatchError
	if err := recode(io.Discard, Zstd, bytes.NewReader(s.plain[0][512:]), Plain, s.ids[0]); !errors.As(err, &bad) {
		t.Errorf("error %v", err)
	}
}

// BenchmarkRecode is the controller's cost of sending a plain layer.
func BenchmarkRecode(b *testing.B) {
	plain := seedLayer(b, "bench", 32<<20)
	d := DiffID(DigestOf(plain))
	for _, z := range []Compression{Zstd, Gzip} {
		b.Run(fmt.Sprint(z), func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				must(b, recode(io.Discard, z, bytes.NewReader(plain), Plain, d))
			}
		})
	}
}
