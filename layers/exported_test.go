package layers

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// readExport as from an engine; the layers' files are closed with the test.
func readExport(t *testing.T, c *cache, data []byte, id Digest) (*exported, []byte, error) {
	t.Helper()
	x := &exported{cache: c, files: make(map[DiffID]*cachedLayer)}
	config, err := x.read(bytes.NewReader(data), id)
	t.Cleanup(func() {
		for _, f := range x.files {
			must(t, f.file.Close())
		}
	})
	return x, config, err
}

func newCache(t *testing.T) *cache {
	t.Helper()
	c, err := openCache(t.TempDir(), 1<<30)
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

func TestExportFillsTheCache(t *testing.T) {
	s := newSeedImage(t, 20<<10, "a", "b", "a")
	// A layer whose first file begins like JSON.
	s.plain[1] = tarOf(t, item("[id].js", []byte("x")))
	s.config = bytes.ReplaceAll(s.config, []byte(s.ids[1]), []byte(DigestOf(s.plain[1])))
	s.ids[1] = DiffID(DigestOf(s.plain[1]))
	for _, z := range []Compression{Plain, Gzip, Zstd} {
		var hybrid bytes.Buffer
		_, err := s.archive(t, z, "shop:v1").WriteTo(&hybrid)
		must(t, err)
		for name, data := range map[string][]byte{"old": tarOf(t, s.v1Archive(t, z)...), "new": hybrid.Bytes()} {
			t.Run(suffix(z)+" "+name, func(t *testing.T) {
				c := newCache(t)
				x, config, err := readExport(t, c, data, DigestOf(s.config))
				must(t, err)
				if !bytes.Equal(config, s.config) {
					t.Errorf("config %s", config)
				}
				for i, d := range s.ids {
					b, err := io.ReadAll(x.files[d].open())
					must(t, err)
					if !bytes.Equal(unpacked(t, b, Zstd), s.plain[i]) {
						t.Errorf("layer %d holds something else", i)
					}
				}
				// Again, with the cache full.
				if _, _, err := readExport(t, c, data, DigestOf(s.config)); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestExportThatIsNotWhole(t *testing.T) {
	s := newSeedImage(t, 20<<10, "a", "b")
	good := s.v1Archive(t, Plain)
	other := newSeedImage(t, 20<<10, "c", "d")
	without := func(part string) []byte {
		return tarOf(t, slices.DeleteFunc(slices.Clone(good), func(i tarItem) bool { return strings.Contains(i.Name, part) })...)
	}
	many := make([]tarItem, 0, 40)
	for i := range 3 {
		many = append(many, item(strings.Repeat("x", i+1), make([]byte, 12<<20)))
	}
	whole := tarOf(t, good...)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"cut in a layer":       {whole[:9000], "unexpected EOF"},
		"cut between entries":  {whole[:len(whole)-4096], ""},
		"no manifest":          {without("manifest.json"), "manifest.json"},
		"a layer is missing":   {without("1/layer.tar"), "missing in the archive"},
		"another image":        {tarOf(t, other.v1Archive(t, Plain)...), "is not in it"},
		"a layer is another":   {tarOf(t, replace(good, good[2].Name, other.plain[0])...), "digest mismatch"},
		"twice":                {tarOf(t, append(slices.Clone(good), good[2])...), "is there twice"},
		"link out":             {tarOf(t, append(slices.Clone(good), link(tar.TypeSymlink, "x", "../../etc"))...), "link out of the archive"},
		"absolute":             {tarOf(t, item("/x", nil)), "not a relative path"},
		"too much metadata":    {tarOf(t, many...), "too much metadata"},
		"one metadata is huge": {tarOf(t, item("x", make([]byte, maxMetadata+1))), "larger than 16 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			c2 := newCache(t)
			_, config, err := readExport(t, c2, c.data, DigestOf(s.config))
			if err == nil || config != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("config %q, error %v, want %q", config, err, c.want)
			}
			if left, _ := filepath.Glob(filepath.Join(c2.tmp, "[0-9]*")); len(left) > 0 {
				t.Errorf("left %q", left)
			}
		})
	}
}

func replace(items []tarItem, name string, data []byte) []tarItem {
	out := slices.Clone(items)
	for i := range out {
		if out[i].Name == name {
			out[i].data = data
		}
	}
	return out
}

func TestErrorsAreNotLost(t *testing.T) {
	boom := errors.New("boom")
	_, err := (&exported{cache: newCache(t), files: map[DiffID]*cachedLayer{}}).read(io.MultiReader(bytes.NewReader(make([]byte, 100)), failing{boom}), "")
	if !errors.Is(err, boom) {
		t.Errorf("error %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
