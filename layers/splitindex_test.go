package layers

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/vbatts/tar-split/tar/asm"
	"github.com/vbatts/tar-split/tar/storage"
)

// split takes a tar apart as an engine does, and unpacks its files to dir.
func split(t testing.TB, plain []byte, dir string) []byte {
	t.Helper()
	var record bytes.Buffer
	z := gzip.NewWriter(&record)
	r, done, err := asm.NewInputTarStreamWithDone(bytes.NewReader(plain), storage.NewJSONPacker(z), storage.NewDiscardFilePutter())
	must(t, err)
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		if h.Typeflag != tar.TypeReg {
			continue
		}
		name := filepath.Join(dir, h.Name)
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		b, err := io.ReadAll(tr)
		must(t, err)
		must(t, os.WriteFile(name, b, 0o644))
	}
	_, err = io.Copy(io.Discard, r) // what follows the last entry
	must(t, errors.Join(err, <-done, r.Close()))
	must(t, z.Close())
	return record.Bytes()
}

// index of a record whose files are in dir.
func index(t testing.TB, record []byte, dir string) (*splitIndex, string, error) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	must(t, err)
	raw, err := os.CreateTemp(t.TempDir(), "")
	must(t, err)
	x, err := indexSplit(bytes.NewReader(record), root, raw)
	return x, raw.Name(), err
}

func packRecord(t testing.TB, entries ...storage.Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	p := storage.NewJSONPacker(z)
	for _, e := range entries {
		_, err := p.AddEntry(e)
		must(t, err)
	}
	must(t, z.Close())
	return b.Bytes()
}

// manyFiles is a tar of n small files among folders, links and empty files.
func manyFiles(t testing.TB, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range n {
		dir := fmt.Sprintf("node_modules/package-%d/", i/20)
		size := int64(i * 37 % 9000)
		for _, h := range []tar.Header{
			{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755},
			{Name: fmt.Sprintf("%sfile-%d.js", dir, i), Mode: 0o644, Size: size, ModTime: time.Unix(1.7e9+int64(i), 0)},
			{Name: fmt.Sprintf("%slink-%d", dir, i), Typeflag: tar.TypeSymlink, Linkname: "x"},
		} {
			if h.Typeflag == tar.TypeDir && i%20 != 0 {
				continue
			}
			must(t, w.WriteHeader(&h))
			_, err := w.Write(bytes.Repeat([]byte{byte(i)}, int(h.Size)))
			must(t, err)
		}
	}
	must(t, w.Close())
	return b.Bytes()
}

func TestSplitIndex(t *testing.T) {
	long := strings.Repeat("a long name/", 30)
	files := rawTar(t,
		tar.Header{Name: "etc/", Typeflag: tar.TypeDir},
		tar.Header{Name: "etc/a", Typeflag: tar.TypeReg, Size: 512},
		tar.Header{Name: "etc/b", Typeflag: tar.TypeReg, Size: 1},
		tar.Header{Name: "etc/hard", Typeflag: tar.TypeLink, Linkname: "etc/a"},
		tar.Header{Name: "etc/empty", Typeflag: tar.TypeReg},
		tar.Header{Name: long + "x", Typeflag: tar.TypeReg, Size: 70000, Format: tar.FormatPAX},
		tar.Header{Name: "e\xff", Typeflag: tar.TypeReg, Size: 3, Format: tar.FormatGNU})
	for name, plain := range map[string][]byte{
		"kinds":             files,
		"padded":            append(bytes.Clone(files), make([]byte, 3<<20)...),
		"no files":          make([]byte, 1024),
		"nothing":           {},
		"many":              manyFiles(t, 700),
		"ends with a file":  files[:len(files)-1024],
		"of a larger layer": seedLayer(t, "index", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			x, raw, err := index(t, split(t, plain, dir), dir)
			must(t, err)
			wantPlain(t, x, plain)
			if len(x.files.files) > openPieces {
				t.Errorf("%d files are open", len(x.files.files))
			}
			must(t, x.Close())
			if _, err := os.Stat(raw); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("left %s", raw)
			}
		})
	}
}

// TestSplitIndexOfALargeFile reads here and there in a file of 5 GB, of which the disk holds nothing.
func TestSplitIndexOfALargeFile(t *testing.T) {
	const size = 5 << 30
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "big"))
	must(t, err)
	_, err = f.WriteAt([]byte("end"), size-3)
	must(t, errors.Join(err, f.Close()))
	head := bytes.Repeat([]byte("h"), 512)
	x, _, err := index(t, packRecord(t,
		storage.Entry{Type: storage.SegmentType, Payload: head},
		storage.Entry{Type: storage.FileType, Name: "./big", Size: size},
		storage.Entry{Type: storage.SegmentType, Payload: []byte("tail")}), dir)
	must(t, err)
	b := make([]byte, 9)
	if n, err := x.ReadAt(b, x.Size()-9); n != 9 || err != nil || string(b) != "\x00\x00endtail" || x.Size() != size+516 {
		t.Errorf("%d bytes %q of %d: %v", n, b, x.Size(), err)
	}
	if n, err := x.ReadAt(b, 508); n != 9 || err != nil || string(b) != "hhhh\x00\x00\x00\x00\x00" {
		t.Errorf("%d bytes %q: %v", n, b, err)
	}
	must(t, x.Close())
}

func TestSplitIndexThatDoesNotFit(t *testing.T) {
	file := storage.Entry{Type: storage.FileType, Name: "etc/a", Size: 10}
	segment := storage.Entry{Type: storage.SegmentType, Payload: []byte("head")}
	good := packRecord(t, segment, file)
	for name, record := range map[string][]byte{
		"no record":     []byte("hello"),
		"cut":           good[:len(good)/2],
		"not JSON":      packed(t, []byte("{}x\n"), Gzip),
		"negative size": packRecord(t, storage.Entry{Type: storage.FileType, Name: "a", Size: -1}),
		"giant sizes":   packRecord(t, storage.Entry{Type: storage.FileType, Name: "a", Size: 1 << 62}, storage.Entry{Type: storage.FileType, Name: "b", Size: 1 << 62}),
		"a piece lacks": packed(t, []byte(`{"type":2,"payload":"aGVhZA==","position":1}`+"\n"), Gzip),
		"a giant name":  packRecord(t, storage.Entry{Type: storage.FileType, Name: strings.Repeat("x", 5000), Size: 1}),
		"a giant entry": packed(t, append([]byte(`{"type":2,"payload":"`), bytes.Repeat([]byte("A"), maxSplitEntry)...), Gzip),
	} {
		if x, raw, err := index(t, record, t.TempDir()); x != nil || err == nil {
			t.Errorf("%s: an index of %d bytes", name, x.Size())
		} else if _, err := os.Stat(raw); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: left %s", name, raw)
		}
	}
	for name, c := range map[string]struct {
		prepare func(dir string) error
		want    error
	}{
		"gone":           {func(string) error { return nil }, fs.ErrNotExist},
		"short":          {func(dir string) error { return os.WriteFile(filepath.Join(dir, "etc/a"), []byte("123"), 0o644) }, io.ErrUnexpectedEOF},
		"a way out":      {func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "etc/a")) }, nil},
		"a folder":       {func(dir string) error { return os.Mkdir(filepath.Join(dir, "etc/a"), 0o755) }, nil},
		"a pipe":         {func(dir string) error { return mkfifo(filepath.Join(dir, "etc/a")) }, nil},
		"longer, sparse": {func(dir string) error { return os.WriteFile(filepath.Join(dir, "etc/a"), make([]byte, 99), 0o644) }, errNone},
	} {
		dir := t.TempDir()
		must(t, os.Mkdir(filepath.Join(dir, "etc"), 0o755))
		must(t, c.prepare(dir))
		x, _, err := index(t, good, dir)
		must(t, err)
		n, err := x.ReadAt(make([]byte, 14), 0)
		switch {
		case errors.Is(c.want, errNone):
			if n != 14 || err != nil {
				t.Errorf("%s: %d bytes, %v", name, n, err)
			}
		case n >= 14 || err == nil || c.want != nil && !errors.Is(err, c.want):
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		must(t, x.Close())
	}
}

var errNone = errors.New("none")

func TestSplitIndexTakesLittleMemory(t *testing.T) {
	dir := t.TempDir()
	record := split(t, manyFiles(t, 2000), dir)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	x, _, err := index(t, record, dir)
	must(t, err)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 2000*64 {
		t.Errorf("%d bytes for 2000 files", grown)
	}
	must(t, x.Close())
}

func FuzzSplitIndex(f *testing.F) {
	dir := f.TempDir()
	must(f, os.WriteFile(filepath.Join(dir, "a"), []byte("hello"), 0o644))
	f.Add([]byte(`{"type":2,"payload":"aGVhZA==","position":0}` + "\n" + `{"type":1,"name":"a","size":5,"position":1}` + "\n"))
	f.Add([]byte(`{"type":1,"name_raw":"YQ==","size":9223372036854775807,"position":0}` + "\n"))
	f.Add([]byte(`{"type":1,"name":"../../etc/passwd","size":5,"position":0}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, _, err := index(t, packed(t, b, Gzip), dir)
		if err != nil {
			return
		}
		if x.Size() < 0 || len(x.starts) > len(b)+2 {
			t.Errorf("%d bytes in %d pieces", x.Size(), len(x.starts))
		}
		for _, off := range []int64{0, 3, x.Size() - 2} {
			p := make([]byte, 10)
			if n, err := x.ReadAt(p, off); n < 0 || n > 10 || n < 10 && err == nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		}
		must(t, x.Close())
	})
}

func BenchmarkSplitIndex(b *testing.B) {
	dir := b.TempDir()
	plain := manyFiles(b, 20000)
	record := split(b, plain, dir)
	b.Run("build", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			x, _, err := index(b, record, dir)
			must(b, err)
			must(b, x.Close())
		}
	})
	b.Run("read", func(b *testing.B) {
		x, _, err := index(b, record, dir)
		must(b, err)
		b.SetBytes(x.Size())
		b.ReportAllocs()
		for b.Loop() {
			_, err := io.CopyBuffer(onlyWriter{io.Discard}, io.NewSectionReader(x, 0, x.Size()), make([]byte, 256<<10))
			must(b, err)
		}
		must(b, x.Close())
	})
}

func mkfifo(name string) error { return syscall.Mkfifo(name, 0o600) }
