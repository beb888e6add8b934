package layers

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// copied returns the content by path.
func copied(t testing.TB, b []byte, maxNames int) (map[string]string, error) {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "")
	must(t, err)
	f, err := copyTarFiles(bytes.NewReader(b), file, maxNames)
	if err != nil {
		if f != nil {
			t.Error("files and an error")
		}
		must(t, file.Close())
		return nil, err
	}
	out := make(map[string]string)
	for name := range f.at {
		r, err := f.open(name)
		must(t, err)
		content, err := io.ReadAll(r)
		must(t, err)
		out[name] = string(content)
	}
	if _, err := f.open("not/there"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
	must(t, f.Close())
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file.Name()), "*")); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	return out, nil
}

func rawTar(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		must(t, w.WriteHeader(&h))
		_, err := io.CopyN(w, strings.NewReader(strings.Repeat("hello", 1+int(h.Size)/5)), h.Size)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

func TestTarFiles(t *testing.T) {
	long := strings.Repeat("a long name/", 30)
	got, err := copied(t, rawTar(t,
		tar.Header{Name: "diff/", Typeflag: tar.TypeDir},
		tar.Header{Name: "diff/a", Typeflag: tar.TypeReg, Size: 5},
		tar.Header{Name: "diff/b", Typeflag: tar.TypeLink, Linkname: "diff/a"},
		tar.Header{Name: "diff/c", Typeflag: tar.TypeLink, Linkname: "diff/b"},
		tar.Header{Name: "diff/empty", Typeflag: tar.TypeReg},
		tar.Header{Name: "diff/empty2", Typeflag: tar.TypeLink, Linkname: "diff/empty"},
		tar.Header{Name: "diff/gone", Typeflag: tar.TypeChar},
		tar.Header{Name: "diff/soft", Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"},
		tar.Header{Name: "diff/soft2", Typeflag: tar.TypeLink, Linkname: "diff/soft"},
		tar.Header{Name: "diff/out", Typeflag: tar.TypeLink, Linkname: "../../etc/shadow"},
		tar.Header{Name: "diff/" + long + "x", Typeflag: tar.TypeReg, Size: 7, Format: tar.FormatPAX},
		tar.Header{Name: "diff/../../diff/e\xff", Typeflag: tar.TypeReg, Size: 3, Format: tar.FormatGNU},
	), maxTarNames)
	must(t, err)
	want := map[string]string{"a": "hello", "b": "hello", "c": "hello", long + "x": "hellohe", "e\xff": "hel"}
	if len(got) != len(want) {
		t.Errorf("got %q", got)
	}
	for name, content := range want {
		if got[name] != content {
			t.Errorf("%q holds %q, want %q", name, got[name], content)
		}
	}
}

func TestTarFilesHostile(t *testing.T) {
	reg := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 5} }
	whole := rawTar(t, reg("diff/a"), reg("diff/b"))
	sparse := rawTar(t, tar.Header{Name: "diff/a", Typeflag: tar.TypeReg, Size: 5})
	sparse[156] = tar.TypeGNUSparse
	for name, c := range map[string]struct {
		tar      []byte
		maxNames int
		want     string
	}{
		"twice":            {rawTar(t, reg("diff/a"), reg("diff/./a")), maxTarNames, "twice"},
		"twice by a link":  {rawTar(t, reg("diff/a"), tar.Header{Name: "diff/a", Typeflag: tar.TypeLink, Linkname: "diff/a"}), maxTarNames, "twice"},
		"too many":         {whole, 2*perName + 1, "more than 193 bytes"},
		"names too long":   {rawTar(t, reg("diff/"+strings.Repeat("x", 5000))), 5000, "more than 5000 bytes"},
		"cut in a file":    {whole[:514], maxTarNames, "unexpected EOF"},
		"cut in a header":  {whole[:1100], maxTarNames, "unexpected EOF"},
		"no tar":           {bytes.Repeat([]byte("x"), 2048), maxTarNames, "invalid tar header"},
		"a forged sparse":  {sparse, maxTarNames, "invalid tar header"},
		"a declared giant": {giant(t), maxTarNames, "sparse"},
	} {
		if got, err := copied(t, c.tar, c.maxNames); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, error %v", name, got, err)
		}
	}
}

// giant is a file of a terabyte in a kilobyte.
func giant(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	records := map[string]string{"XXX.sparse.major": "0", "XXX.sparse.minor": "1", "XXX.sparse.size": "1099511627776", "XXX.sparse.numblocks": "0"}
	must(t, w.WriteHeader(&tar.Header{Name: "diff/a", Typeflag: tar.TypeReg, Format: tar.FormatPAX, PAXRecords: records}))
	must(t, w.Close())
	return bytes.ReplaceAll(b.Bytes(), []byte("XXX.sparse."), []byte("GNU.sparse.")) // the writer refuses to
}

func FuzzTarFiles(f *testing.F) {
	f.Add(rawTar(f, tar.Header{Name: "diff/a", Typeflag: tar.TypeReg, Size: 5}, tar.Header{Name: "diff/b", Typeflag: tar.TypeLink, Linkname: "diff/a"}))
	f.Add(giant(f))
	f.Add(rawTar(f, tar.Header{Name: "d/a", Typeflag: tar.TypeReg, Size: 5, Format: tar.FormatGNU}))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := copied(t, b, 1<<20)
		if err != nil {
			return
		}
		sum := 0
		for name, content := range got {
			if content == "" || len(content) > len(b) || name != below("x/"+name) {
				t.Errorf("%q has %d bytes of %d", name, len(content), len(b))
			}
			sum += len(name) + perName
		}
		if sum > 1<<20 {
			t.Errorf("%d bytes of names", sum)
		}
	})
}
