package delta

import (
	"archive/tar"
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// entry is a file of a tar made for a test; without content it is a folder.
type entry struct {
	name    string
	content []byte
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func randomBytes(seed uint64, n int) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	b := make([]byte, n)
	_, _ = r.Read(b) // it never fails
	return b
}

// words are bytes that pack about as well as text.
func words(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%x ", r.IntN(5000))
	}
	return b.Bytes()[:n]
}

// files are n files of up to most bytes in some folders.
func files(seed uint64, n, most int) []entry {
	r := rand.New(rand.NewPCG(seed, 2))
	var all []entry
	for i := range n {
		if i%20 == 0 {
			all = append(all, entry{name: fmt.Sprintf("usr/lib/dir%d/", i/20)})
		}
		all = append(all, entry{fmt.Sprintf("usr/lib/dir%d/file%d.js", i/20, i), words(seed*1000+uint64(i), 1+r.IntN(most))})
	}
	return all
}

// tarOf makes a tar of files that are all of one time.
func tarOf(t testing.TB, all []entry, mtime time.Time) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range all {
		h := &tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.content)), ModTime: mtime, Typeflag: tar.TypeReg}
		if strings.HasSuffix(e.name, "/") {
			h.Mode, h.Typeflag = 0o755, tar.TypeDir
		}
		must(t, w.WriteHeader(h))
		_, err := w.Write(e.content)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

// pair is two versions of a layer.
type pair struct {
	name     string
	old, new []byte
	// most bounds the patch of Make, in bytes; 0 = no promise.
	most int
	// mostSigned bounds that of MakeFromSignature.
	mostSigned int
}

func (p *pair) header() Header {
	return Header{sha256.Sum256(p.old), sha256.Sum256(p.new), int64(len(p.old)), int64(len(p.new))}
}

var (
	before = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	after  = time.Date(2026, 2, 28, 12, 33, 59, 0, time.UTC)
)

// pairs are the kinds of changes that layers see.
func pairs(t testing.TB) []pair {
	all := files(1, 150, 9000)
	old := tarOf(t, all, before)
	edit := func(f func([]entry) []entry) []byte { return tarOf(t, f(slices.Clone(all)), before) }
	big := words(77, 3<<20)
	poked := bytes.Clone(big)
	for i := 1000; i < len(poked); i += 5003 {
		poked[i] ^= 0x55
	}
	noise := randomBytes(3, 300_000)
	var tiny []entry
	for i := range 500 {
		tiny = append(tiny, entry{fmt.Sprintf("t/%d", i), fmt.Appendf(nil, "%05d", i)})
	}
	one := func(content []byte) []byte { return tarOf(t, []entry{{"bin/app", content}}, before) }
	return []pair{
		{"identical", old, old, 200, 8000},
		{"a file changed in the middle", old, edit(func(e []entry) []entry {
			e[70].content = append(words(5, 100), e[70].content...)
			return e
		}), 1000, 12_000},
		{"another time everywhere", old, tarOf(t, all, after), 1500, 1500},
		{"a file inserted", old, edit(func(e []entry) []entry {
			return slices.Insert(e, 100, entry{"usr/lib/dir4/new.js", words(6, 2000)})
		}), 2200, 8000},
		{"a file removed", old, edit(func(e []entry) []entry { return slices.Delete(e, 100, 101) }), 300, 8000},
		{"a file renamed", old, edit(func(e []entry) []entry {
			e[100].name = "usr/lib/dir4/other.js"
			return e
		}), 350, 8000},
		{"all in another order", old, edit(func(e []entry) []entry {
			slices.Reverse(e)
			return e
		}), 10_000, 10_000},
		{"empty base", nil, old, 0, 0},
		{"empty target", old, nil, 200, 200},
		{"both empty", nil, nil, 200, 200},
		{"random", randomBytes(1, 200_000), randomBytes(2, 200_000), 201_000, 201_000},
		{"random, moved by a byte", noise, append([]byte{1}, noise...), 300, 10_000},
		{"a match after much else", noise, slices.Concat(randomBytes(4, 100_000), noise[1001:3001], randomBytes(5, 50_000)), 150_300, 0},
		{"a large file, poked", one(big), one(poked), 1500, 1 << 20},
		{"packed sections", one(elfOf(t, zlib.BestSpeed, words(8, 100_000), words(9, 200_000))),
			one(elfOf(t, zlib.BestSpeed, words(8, 100_000), append([]byte("x"), words(9, 200_000)...))), 500, 0},
		{"packed sections, not as Go does", one(elfOf(t, zlib.BestCompression, words(8, 100_000))),
			one(elfOf(t, zlib.BestCompression, append([]byte("x"), words(8, 100_000)...))), 50_000, 0},
		{"tiny files", tarOf(t, tiny, before), tarOf(t, tiny[:499], after), 600, 600},
		{"no tar, shorter than a block", []byte("abc"), []byte("abd"), 200, 200},
		{"many windows", bytes.Repeat(noise, 40), append(bytes.Repeat(noise, 39), 'x'), 400, 0},
	}
}

// apply applies a patch that must be good.
func apply(t testing.TB, p *pair, patch []byte) {
	t.Helper()
	var out bytes.Buffer
	h, err := Apply(t.Context(), &out, bytes.NewReader(p.old), bytes.NewReader(patch))
	must(t, err)
	if h != p.header() {
		t.Errorf("header %+v, want %+v", h, p.header())
	}
	if !bytes.Equal(out.Bytes(), p.new) {
		t.Errorf("%d bytes that are not the target's %d", out.Len(), len(p.new))
	}
}

func makePatch(t testing.TB, p *pair) ([]byte, Stats) {
	t.Helper()
	var patch bytes.Buffer
	s, err := Make(t.Context(), &patch, p.header(), bytes.NewReader(p.old), bytes.NewReader(p.new))
	must(t, err)
	if s.Size != int64(patch.Len()) || s.Copied+s.Added < int64(len(p.new)) {
		t.Errorf("%+v, for a patch of %d bytes and a target of %d", s, patch.Len(), len(p.new))
	}
	return patch.Bytes(), s
}
