package layers

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestArchiveNamesAllAndWritesWhatIsMissing(t *testing.T) {
	s := newSeedImage(t, 50<<10, "base", "lib", "app")
	a := s.archive(t, Zstd, "shop:v1", 0)
	var b bytes.Buffer
	n, err := a.WriteTo(&b)
	must(t, err)
	if n != int64(b.Len()) {
		t.Errorf("WriteTo says %d of %d bytes", n, b.Len())
	}
	names, data := entries(t, b.Bytes())
	manifest, err := a.ManifestDigest()
	must(t, err)
	want := []string{blobPath(a.Layers[1].Blob.Digest), blobPath(a.Layers[2].Blob.Digest),
		blobPath(DigestOf(s.config)), blobPath(manifest), "manifest.json", "index.json", "oci-layout"}
	if !slices.Equal(names, want) {
		t.Errorf("entries %q, want %q", names, want)
	}
	var items []archiveItem
	must(t, json.Unmarshal(data["manifest.json"], &items))
	if len(items) != 1 || !slices.Equal(items[0].RepoTags, []string{"shop:v1"}) || len(items[0].Layers) != 3 {
		t.Errorf("manifest.json: %+v", items)
	}
	var index ociIndex
	must(t, json.Unmarshal(data["index.json"], &index))
	d := index.Manifests[0]
	if d.Digest != manifest || d.Annotations[annotationName] != "docker.io/library/shop:v1" || d.Annotations[annotationRef] != "v1" {
		t.Errorf("index.json: %+v", d)
	}
	var m ociManifest
	must(t, json.Unmarshal(data[blobPath(manifest)], &m))
	for i, l := range m.Layers {
		if l.Digest != a.Layers[i].Blob.Digest || l.Size != a.Layers[i].Blob.Size || l.MediaType != mediaLayer+"+zstd" {
			t.Errorf("manifest layer %d: %+v", i, l)
		}
	}
	if want := a.Layers[1].Blob.Size + a.Layers[2].Blob.Size; a.Size() != want {
		t.Errorf("Size %d, want %d", a.Size(), want)
	}
}

func TestArchiveIsTheSameEachTime(t *testing.T) {
	s := newSeedImage(t, 1<<10, "a", "b")
	var one, two bytes.Buffer
	_, err := s.archive(t, Gzip, "x").WriteTo(&one)
	must(t, err)
	a := s.archive(t, Gzip, "x")
	must(t, a.WriteLayers(&two))
	must(t, a.WriteMetadata(&two))
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("two archives of one image differ")
	}
}

func TestArchiveWithoutTagNamesNothing(t *testing.T) {
	var b bytes.Buffer
	_, err := newSeedImage(t, 10, "a").archive(t, Plain, "").WriteTo(&b)
	must(t, err)
	_, data := entries(t, b.Bytes())
	if strings.Contains(string(data["manifest.json"]), "library") || strings.Contains(string(data["index.json"]), "annotations") {
		t.Errorf("%s %s", data["manifest.json"], data["index.json"])
	}
}

func TestArchiveWritesAnEqualLayerOnce(t *testing.T) {
	s := newSeedImage(t, 10, "a", "b", "a")
	var b bytes.Buffer
	_, err := s.archive(t, Plain, "x").WriteTo(&b)
	must(t, err)
	if names, _ := entries(t, b.Bytes()); len(names) != 2+5 {
		t.Errorf("entries %q", names)
	}
}

func TestArchiveRefusesPartsThatDoNotBelongTogether(t *testing.T) {
	s := newSeedImage(t, 10, "a", "b")
	for name, c := range map[string]struct {
		change func(*Archive)
		want   string
	}{
		"layer left out":  {func(a *Archive) { a.Layers = a.Layers[:1] }, "1 layers for a config of 2"},
		"order":           {func(a *Archive) { slices.Reverse(a.Layers) }, "the config says"},
		"no digest":       {func(a *Archive) { a.Layers[0].Blob.Digest = "" }, "invalid digest"},
		"path as digest":  {func(a *Archive) { a.Layers[0].Blob.Digest = "sha256:../../etc/passwd" }, "invalid digest"},
		"no size":         {func(a *Archive) { a.Layers[1].Blob.Size = -1 }, "size is not known"},
		"no config":       {func(a *Archive) { a.Config = []byte("{}") }, "not a container image"},
		"tag is a digest": {func(a *Archive) { a.Tag = "x@" + string(s.ids[0]) }, "a tag is needed"},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.archive(t, Plain, "x")
			c.change(&a)
			var b bytes.Buffer
			if err := a.WriteMetadata(&b); err == nil || !strings.Contains(err.Error(), c.want) || b.Len() > 0 {
				t.Errorf("error %v after %d bytes, want %q", err, b.Len(), c.want)
			}
		})
	}
}

func TestArchiveFailsOnALayerOfAnotherLength(t *testing.T) {
	s := newSeedImage(t, 10, "a")
	for name, data := range map[string][]byte{"short": s.plain[0][:100], "long": append(s.plain[0], 1)} {
		t.Run(name, func(t *testing.T) {
			a := s.archive(t, Plain, "x")
			a.Layers[0].Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
			if err := a.WriteLayers(io.Discard); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestArchiveHeaderOfALargeLayer(t *testing.T) {
	for _, size := range []int64{8<<30 - 1, 8 << 30, 1 << 40} {
		var b bytes.Buffer
		must(t, tar.NewWriter(&b).WriteHeader(entryHeader(blobPath(DigestOf(nil)), size)))
		h, err := tar.NewReader(&b).Next()
		if err != nil || h.Size != size || h.Name != blobPath(DigestOf(nil)) || h.Format&(tar.FormatUSTAR|tar.FormatPAX) == 0 {
			t.Errorf("size %d: %+v, %v", size, h, err)
		}
	}
}

func TestVerifierFailsBeforeTheEnd(t *testing.T) {
	data := []byte("the bytes")
	for name, c := range map[string]struct {
		want Digest
		size int64
		ok   bool
	}{
		"right":           {DigestOf(data), 9, true},
		"size not known":  {DigestOf(data), -1, true},
		"other bytes":     {DigestOf([]byte("x")), 9, false},
		"other, no size":  {DigestOf([]byte("x")), -1, false},
		"shorter":         {DigestOf(data), 10, false},
		"longer":          {DigestOf(data), 8, false},
		"prefix of named": {DigestOf(data[:8]), 8, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := io.ReadAll(verify(io.NopCloser(bytes.NewReader(data)), c.want, c.size))
			var bad *MismatchError
			if c.ok != (err == nil) || !c.ok && !errors.As(err, &bad) {
				t.Errorf("error %v, want ok %v", err, c.ok)
			}
		})
	}
	// Who reads exactly the size, and never io.EOF, must see it too.
	r := verify(io.NopCloser(bytes.NewReader(data)), DigestOf([]byte("x")), 9)
	if n, err := io.ReadFull(r, make([]byte, 9)); err == nil {
		t.Errorf("read %d wrong bytes", n)
	}
}

func TestPrefixCutsLayersAndHistory(t *testing.T) {
	s := newSeedImage(t, 10, "a", "b", "c")
	for n := 1; n <= 3; n++ {
		b, err := Prefix(s.config, n)
		must(t, err)
		c, err := parseConfig(b)
		must(t, err)
		if !slices.Equal(c.RootFS.DiffIDs, s.ids[:n]) {
			t.Errorf("prefix %d: diff IDs %v", n, c.RootFS.DiffIDs)
		}
		if c.platform() != (Platform{OS: "linux", Arch: "amd64"}) {
			t.Errorf("prefix %d: platform %v", n, c.platform())
		}
		made := 0
		for _, h := range c.History {
			if !h.EmptyLayer {
				made++
			}
		}
		if made != n {
			t.Errorf("prefix %d: history has %d layers", n, made)
		}
		if bytes.Contains(b, []byte("ship.service")) {
			t.Errorf("prefix %d keeps labels: %s", n, b)
		}
	}
	for _, n := range []int{-1, 0, 4} {
		if _, err := Prefix(s.config, n); err == nil {
			t.Errorf("prefix of %d of 3 layers: no error", n)
		}
	}
}

func TestProbe(t *testing.T) {
	s := newSeedImage(t, 10, "a", "b")
	names, data := entries(t, Probe(s.config, s.ids, "shop:v1"))
	if len(names) != 2 || !bytes.Equal(data[DigestOf(s.config).Hex()+".json"], s.config) {
		t.Errorf("entries %q", names)
	}
	var items []archiveItem
	must(t, json.Unmarshal(data["manifest.json"], &items))
	text := "open /var/lib/docker/tmp/docker-import-1/" + items[0].Layers[1] + ": no such file or directory"
	if n, ok := ProbeMissing(text); n != 1 || !ok {
		t.Errorf("ProbeMissing(%q) = %d, %v", text, n, ok)
	}
	for _, text := range []string{"", "no space left on device", "open ship/1: no such file or directory",
		"open ship/99999999999999999999-" + s.ids[0].Hex() + ": no such file or directory",
		"write /x/" + items[0].Layers[1] + ": no space left on device"} {
		if n, ok := ProbeMissing(text); ok {
			t.Errorf("ProbeMissing(%q) = %d", text, n)
		}
	}
}

func TestHeldMissing(t *testing.T) {
	s := newSeedImage(t, 10, "a", "b", "a", "c")
	img := s.image(t, Plain, false)
	blob := Blob{Digest: DigestOf([]byte("gz")), Size: 2, Compression: Gzip}
	for name, c := range map[string]struct {
		held Held
		want []int
	}{
		"graph driver, nothing": {Held{}, []int{0, 1, 2, 3}},
		"graph driver, prefix":  {Held{Prefix: 2}, []int{2, 3}},
		"graph driver, all":     {Held{Prefix: 4}, nil},
		"containerd, nothing":   {Held{ContainerdStore: true, Prefix: 4}, []int{0, 1, 2, 3}},
		"containerd, anywhere":  {Held{ContainerdStore: true, Blobs: map[DiffID]Blob{s.ids[0]: blob, s.ids[3]: blob}}, []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.held.Missing(img); !slices.Equal(got, c.want) {
				t.Errorf("missing %v, want %v", got, c.want)
			}
		})
	}
	h := Held{ContainerdStore: true, Blobs: map[DiffID]Blob{s.ids[3]: blob}}
	if l := h.Name(img, 3); l.Blob != blob || l.DiffID != s.ids[3] || l.Open != nil {
		t.Errorf("Name = %+v", l)
	}
	if l := (Held{Prefix: 1}).Name(img, 0); l.Blob.Digest != Digest(s.ids[0]) || l.Open != nil {
		t.Errorf("Name = %+v", l)
	}
}

func TestNormalizeRef(t *testing.T) {
	for in, want := range map[string][2]string{
		"shop":                        {"docker.io/library/shop:latest", "shop:latest"},
		"shop:v1":                     {"docker.io/library/shop:v1", "shop:v1"},
		"library/shop:v1":             {"docker.io/library/shop:v1", "shop:v1"},
		"me/shop":                     {"docker.io/me/shop:latest", "me/shop:latest"},
		"docker.io/shop":              {"docker.io/library/shop:latest", "shop:latest"},
		"index.docker.io/me/shop:1":   {"docker.io/me/shop:1", "me/shop:1"},
		"localhost/shop":              {"localhost/shop:latest", "localhost/shop:latest"},
		"127.0.0.1:5000/a/b_c:1.2-3":  {"127.0.0.1:5000/a/b_c:1.2-3", "127.0.0.1:5000/a/b_c:1.2-3"},
		"[::1]:5000/a":                {"[::1]:5000/a:latest", "[::1]:5000/a:latest"},
		"ghcr.io/library/shop":        {"ghcr.io/library/shop:latest", "ghcr.io/library/shop:latest"},
		"host:5000/shop":              {"host:5000/shop:latest", "host:5000/shop:latest"},
		"ship.invalid/part:0123-1":    {"ship.invalid/part:0123-1", "ship.invalid/part:0123-1"},
		"Example.com/shop__a--b.c/dd": {"Example.com/shop__a--b.c/dd:latest", "Example.com/shop__a--b.c/dd:latest"},
	} {
		full, err := NormalizeRef(in)
		short, err2 := FamiliarRef(in)
		if err != nil || err2 != nil || full != want[0] || short != want[1] {
			t.Errorf("%q: %q %q %v %v, want %q", in, full, short, err, err2, want)
		}
	}
	for _, bad := range []string{"", ":v1", "Shop", "a/Shop", "shop:", "-shop", "shop:a b", "shop/", "/shop", "a//b", "../b", "shop:v1:v2",
		"shop:" + strings.Repeat("a", 129), strings.Repeat("a", 300), "shop@sha256:" + strings.Repeat("a", 64), strings.Repeat("a", 64), "a\nb"} {
		if full, err := NormalizeRef(bad); err == nil {
			t.Errorf("%q is taken for %q", bad, full)
		}
	}
}
