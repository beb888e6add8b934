package layers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
)

func TestRecodeFindsADamagedLayer(t *testing.T) {
	s := newSeedImage(t, 200<<10, "a")
	for _, z := range []Compression{Gzip, Zstd} {
		b := packed(t, s.plain[0], z)
		if _, err := recode(io.Discard, Gzip, bytes.NewReader(b[:len(b)/2]), z, s.ids[0]); err == nil {
			t.Errorf("%s: a cut layer passes", z)
		}
	}
	var bad *MismatchError
	if _, err := recode(io.Discard, Zstd, bytes.NewReader(s.plain[0][512:]), Plain, s.ids[0]); !errors.As(err, &bad) {
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
				_, err := recode(io.Discard, z, bytes.NewReader(plain), Plain, d)
				must(b, err)
			}
		})
	}
}

// TestTwoMakingsGiveOneDigest though one is passed on as it grows, and their sources store the layer differently.
func TestTwoMakingsGiveOneDigest(t *testing.T) {
	s := newSeedImage(t, 2<<20, "twice")
	for z, want := range map[Compression]Accept{Gzip: {}, Zstd: {Zstd: true}} {
		blob, err := newSpool(t, SpoolOptions{}).Blob(t.Context(), s.image(t, Plain, false), 0, want)
		must(t, err)
		stored := s.image(t, map[Compression]Compression{Gzip: Zstd, Zstd: Plain}[z], true)
		got, err := grow(t, newSpool(t, SpoolOptions{}), stored, want).Blob(t.Context())
		if err != nil || got != blob.Blob || got.Compression != z {
			t.Errorf("one is %+v, the other %+v: %v", blob.Blob, got, err)
		}
	}
}

// TestEqualLayersGiveEqualBlobs also on another machine, from a source that reads in other pieces.
func TestEqualLayersGiveEqualBlobs(t *testing.T) {
	half := seedLayer(t, "text", 5<<20)
	noise := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(noise)
	layers := map[string][]byte{
		"mixed": bytes.Join([][]byte{half, noise, half[:1<<20], make([]byte, 2<<20)}, nil),
		"noise": noise, "empty": {}, "short": []byte("x"), "a block": noise[:128<<10],
	}
	for name, plain := range layers {
		for _, z := range []Compression{Gzip, Zstd} {
			var first Digest
			for _, piece := range []int{len(plain) + 1, 64<<10 + 1} {
				for _, cores := range []int{1, 4} {
					old := runtime.GOMAXPROCS(cores)
					var b bytes.Buffer
					w, err := pack(&b, z)
					must(t, err)
					for rest := plain; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
						_, err := w.Write(rest[:min(piece, len(rest))])
						must(t, err)
					}
					must(t, w.Close())
					runtime.GOMAXPROCS(old)
					d := DigestOf(b.Bytes())
					if first == "" {
						first = d
					}
					if d != first || !bytes.Equal(unpacked(t, b.Bytes(), z), plain) {
						t.Errorf("%s as %s in pieces of %d on %d cores: %s, first %s", name, z, piece, cores, d, first)
					}
				}
			}
		}
	}
}
