package delta

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
)

func deflate(t testing.TB, level int, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := zlib.NewWriterLevel(&out, level)
	must(t, err)
	_, err = z.Write(b)
	must(t, err)
	must(t, z.Close())
	return out.Bytes()
}

// elfOf is an executable with nothing but packed sections in it.
func elfOf(t testing.TB, level int, sections ...[]byte) []byte {
	le := binary.LittleEndian
	b := make([]byte, elfHeader)
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[elfSectionSize:], sectionHeader)
	le.PutUint16(b[elfSectionCount:], uint16(len(sections)))
	var table []byte
	for _, s := range sections {
		packed := deflate(t, level, s)
		head := make([]byte, sectionHeader)
		le.PutUint64(head[sectionFlags:], packedFlag)
		le.PutUint64(head[sectionOffset:], uint64(len(b)))
		le.PutUint64(head[sectionSize:], uint64(packedHeader+len(packed)))
		table = append(table, head...)
		chdr := make([]byte, packedHeader)
		le.PutUint32(chdr, packedZlib)
		le.PutUint64(chdr[8:], uint64(len(s)))
		b = append(append(b, chdr...), packed...)
	}
	le.PutUint64(b[elfSections:], uint64(len(b)))
	return append(b, table...)
}

func TestFindPacked(t *testing.T) {
	whole := elfOf(t, zlib.BestSpeed, words(1, 50_000), words(2, 60_000))
	old := tarOf(t, []entry{{"a", words(3, 9000)}, {"bin/app", whole}}, before)
	found := findPacked(bytes.NewReader(old), int64(len(old)))
	if len(found) != 2 || found[0].plain != 50_000 || found[1].plain != 60_000 {
		t.Fatalf("%+v", found)
	}
	got, err := inflate(bytes.NewReader(old), found[1].span)
	if err != nil || !bytes.Equal(got, words(2, 60_000)) || !packsAgain(bytes.NewReader(old), found[1].span) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	// Whatever is wrong with an executable, it is a file like others.
	for i := range len(whole) {
		if i > 200 && i < len(whole)-200 {
			continue
		}
		bad := bytes.Clone(whole)
		bad[i] ^= 0xff
		p := &pair{old: tarOf(t, []entry{{"bin/app", whole}}, before), new: tarOf(t, []entry{{"bin/app", bad}}, before)}
		if i%10 == 0 {
			patch, _ := makePatch(t, p)
			apply(t, p, patch)
		}
		findPacked(bytes.NewReader(p.new), int64(len(p.new)))
		findPacked(bytes.NewReader(p.old), int64(i)) // cut off
	}
}

// TestLayout reads and writes a version with packed parts in pieces of all sizes.
func TestLayout(t *testing.T) {
	for _, gaps := range [][]int{{}, {0}, {5}, {0, 0, 0}, {100, 0, 3000, 1}} {
		var real, plain []byte
		l := layout{}
		for i, gap := range gaps {
			raw, part := words(uint64(i), gap), words(uint64(i+50), 3000*(i+1))
			packed := deflate(t, zlib.BestSpeed, part)
			real, plain = append(real, raw...), append(plain, raw...)
			l.spans = append(l.spans, span{int64(len(real)), int64(len(packed)), int64(len(part))})
			real, plain = append(real, packed...), append(plain, part...)
		}
		real, plain = append(real, "end"...), append(plain, "end"...)
		l.size = int64(len(real))
		if l.plainSize() != int64(len(plain)) {
			t.Fatalf("%v: %d bytes, want %d", gaps, l.plainSize(), len(plain))
		}
		again, err := readLayout(bufio.NewReader(bytes.NewReader(l.encode(nil))), l.size)
		must(t, err)
		u, err := newUnpackedReader(bytes.NewReader(real), again)
		must(t, err)
		r := rand.New(rand.NewPCG(1, 2))
		for range 300 {
			off := r.IntN(len(plain))
			p := make([]byte, r.IntN(len(plain)-off+5))
			n, err := u.ReadAt(p, int64(off))
			if want := min(len(p), len(plain)-off); n != want || (err == nil) != (n == len(p)) || !bytes.Equal(p[:n], plain[off:off+n]) {
				t.Fatalf("%v: %d bytes at %d: %d, %v", gaps, len(p), off, n, err)
			}
		}
		var out bytes.Buffer
		w := &repacker{w: &out, layout: again}
		for rest := plain; len(rest) > 0; {
			n := min(len(rest), 1+r.IntN(2000))
			_, err := w.Write(rest[:n])
			must(t, err)
			rest = rest[n:]
		}
		if !bytes.Equal(out.Bytes(), real) {
			t.Errorf("%v: packed again it is another", gaps)
		}
	}
}

func TestReadLayoutBad(t *testing.T) {
	number := func(all ...uint64) (b []byte) {
		for _, n := range all {
			b = binary.AppendUvarint(b, n)
		}
		return b
	}
	for name, b := range map[string][]byte{
		"too many parts":       number(maxSpans + 1),
		"begins after the end": number(1, 101, 0, 1),
		"ends after the end":   number(1, 50, 51, 1),
		"too large unpacked":   number(1, 50, 1, maxUnpacked+1),
		"too large together":   number(2, 1, 1, maxUnpacked, 1, 1, 1),
		"cut off":              number(1, 1),
		"empty":                nil,
		"endless":              bytes.Repeat([]byte{0x80}, 100),
	} {
		if l, err := readLayout(bufio.NewReader(bytes.NewReader(b)), 100); !errors.Is(err, ErrPatch) || l.spans != nil {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
	}
}
