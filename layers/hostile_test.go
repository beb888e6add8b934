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

func TestHostileArchives(t *testing.T) {
	s := newSeedImage(t, 1<<10, "a", "b")
	good := s.v1Archive(t, Plain, "shop:v1")
	layer := good[2].Name
	with := func(items ...tarItem) []byte { return tarOf(t, append(slices.Clone(good), items...)...) }
	// instead replaces the entry of that name.
	instead := func(i tarItem) []byte {
		out := slices.Clone(good)
		for n := range out {
			if out[n].Name == i.Name {
				out[n] = i
			}
		}
		return tarOf(t, out...)
	}
	manifest := func(v any) []byte { return instead(item("manifest.json", asJSON(t, v))) }
	config := DigestOf(s.config).Hex() + ".json"
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"absolute name":     {with(item("/etc/passwd", nil)), "not a relative path"},
		"dots":              {with(item("a/../../b", nil)), "leads out of the archive"},
		"backslash":         {with(item(`a\b`, nil)), "not a relative path"},
		"twice":             {with(item(layer, []byte("other"))), "is there twice"},
		"twice, same size":  {with(item(layer, make([]byte, len(s.plain[0])))), "is there twice"},
		"device":            {with(link(tar.TypeChar, "null", "")), "neither a file, a folder nor a link"},
		"link out":          {instead(link(tar.TypeSymlink, layer, "../../etc/passwd")), "link out of the archive"},
		"absolute link":     {instead(link(tar.TypeSymlink, layer, "/etc/passwd")), "link out of the archive"},
		"link to nowhere":   {instead(link(tar.TypeSymlink, layer, "gone")), "missing in the archive"},
		"links in a ring":   {tarOf(t, append(slices.DeleteFunc(slices.Clone(good), func(i tarItem) bool { return i.Name == layer }), link(tar.TypeLink, layer, "x"), link(tar.TypeLink, "x", layer))...), "too many links"},
		"cut":               {with()[:3000], "unexpected EOF"},
		"garbage":           {bytes.Repeat([]byte("garbage "), 1000), "read archive"},
		"empty":             {nil, "neither index.json nor manifest.json"},
		"no layer":          {manifest([]archiveItem{{config, nil, []string{"none", layer}}}), "missing in the archive"},
		"layer count":       {manifest([]archiveItem{{config, nil, []string{layer}}}), "names 1 layers, the config 2"},
		"layer outside":     {manifest([]archiveItem{{config, nil, []string{"../../etc/passwd", layer}}}), "leads out"},
		"config outside":    {manifest([]archiveItem{{"/etc/passwd", nil, []string{layer, layer}}}), "not a relative path"},
		"no config":         {manifest([]archiveItem{{"none", nil, nil}}), "missing in the archive"},
		"manifest no JSON":  {instead(item("manifest.json", []byte("{"))), "manifest.json"},
		"no image":          {manifest([]archiveItem{}), "holds no image"},
		"huge manifest":     {instead(item("manifest.json", make([]byte, maxMetadata+1))), "larger than 16 MiB"},
		"not an image":      {instead(item(config, []byte("{}"))), "not a container image"},
		"bad diff ID":       {instead(item(config, bytes.ReplaceAll(s.config, []byte(s.ids[0]), []byte("sha256:../../x")))), "invalid digest"},
		"xz layer":          {instead(item(layer, []byte("\xfd7zXZ\x00 and more"))), "compressed with xz"},
		"whole file bzip2":  {[]byte("BZh91AY"), "compressed with bzip2"},
		"whole file, cut":   {packed(t, with(), Gzip)[:2000], "unpack archive"},
		"wrong name for it": {tarOf(t, item("x", nil)), "is not an image archive"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := openSource(t, "docker-archive:"+writeFile(t, "a.tar", c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	t.Run("the same twice is fine", func(t *testing.T) {
		wantImage(t, onlyImage(t, writeFile(t, "a.tar", with(good[2]))), s)
	})
	t.Run("other content", func(t *testing.T) {
		other := slices.Clone(s.plain[0])
		other[len(other)/2] ^= 1
		img := onlyImage(t, writeFile(t, "a.tar", instead(item(layer, other))))
		r, err := img.Open(t.Context(), 0)
		must(t, err)
		if _, err := io.ReadAll(r); !errors.As(err, new(*MismatchError)) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("other content, compressed", func(t *testing.T) {
		img := onlyImage(t, writeFile(t, "a.tar", instead(item(layer, packed(t, s.plain[1], Gzip)))))
		if _, err := img.Open(t.Context(), 0); !errors.As(err, new(*MismatchError)) {
			t.Errorf("error %v", err)
		}
	})
}

func TestHostileLayouts(t *testing.T) {
	s := newSeedImage(t, 1<<10, "a")
	good, d := s.ociItems(t, Gzip)
	var m ociManifest
	must(t, json.Unmarshal(good[2].data, &m))
	// with changes the manifest and puts the blobs right.
	with := func(change func(*ociManifest), more ...tarItem) []tarItem {
		n := m
		n.Layers = slices.Clone(m.Layers)
		change(&n)
		raw := asJSON(t, n)
		return layoutOf(t, append(append(slices.Clone(good), item(blobPath(DigestOf(raw)), raw)), more...), descriptor{Digest: DigestOf(raw), Size: int64(len(raw))})
	}
	deep := d
	deepItems := slices.Clone(good)
	for range maxIndexDepth + 1 {
		raw := asJSON(t, ociIndex{SchemaVersion: 2, Manifests: []descriptor{deep}})
		deepItems = append(deepItems, item(blobPath(DigestOf(raw)), raw))
		deep = descriptor{Digest: DigestOf(raw), Size: int64(len(raw))}
	}
	flipped := slices.Clone(good)
	flipped[2].data = append(slices.Clone(flipped[2].data), ' ')
	for name, c := range map[string]struct {
		items []tarItem
		want  string
	}{
		"index no JSON":      {append(good, item("index.json", []byte("["))), "read index.json"},
		"no manifest":        {layoutOf(t, good), "holds no image"},
		"manifest missing":   {layoutOf(t, good, descriptor{Digest: DigestOf([]byte("none"))}), "holds no image that is complete"},
		"manifest changed":   {layoutOf(t, flipped, d), "digest mismatch"},
		"digest with a path": {layoutOf(t, good, descriptor{Digest: "sha256:../../../etc/passwd"}), "invalid digest"},
		"other algorithm":    {layoutOf(t, good, descriptor{Digest: Digest("sha512:" + strings.Repeat("a", 128))}), "invalid digest"},
		"indexes too deep":   {layoutOf(t, deepItems, deep), "indexes deep"},
		"schema 1":           {with(func(m *ociManifest) { m.SchemaVersion = 1 }), "schema version 1"},
		"foreign": {with(func(m *ociManifest) {
			m.Layers[0].MediaType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
		}), "content is kept elsewhere"},
		"urls": {with(func(m *ociManifest) {
			m.Layers[0].URLs = []string{"https://example.com/layer"}
			m.Layers[0].Digest = DigestOf([]byte("none"))
		}), "kept elsewhere, at \"https://example.com/layer\""},
		"encrypted":        {with(func(m *ociManifest) { m.Layers[0].MediaType += "+encrypted" }), "it is encrypted"},
		"layer missing":    {with(func(m *ociManifest) { m.Layers[0].Digest = DigestOf([]byte("none")) }), "no such file"},
		"negative size":    {with(func(m *ociManifest) { m.Layers[0].Size = -5 }), "invalid descriptor"},
		"layer count":      {with(func(m *ociManifest) { m.Layers = append(m.Layers, m.Layers[0]) }), "has 2 layers, its config 1"},
		"config missing":   {with(func(m *ociManifest) { m.Config.Digest = DigestOf([]byte("none")) }), "holds no image that is complete"},
		"plain, other":     {with(func(m *ociManifest) { m.Layers[0] = descriptor{Digest: DigestOf([]byte("plain")), Size: 5} }, item(blobPath(DigestOf([]byte("plain"))), []byte("plain"))), "digest mismatch"},
		"config is a list": {with(func(m *ociManifest) { m.Config.Digest = DigestOf([]byte("[]")) }, item(blobPath(DigestOf([]byte("[]"))), []byte("[]"))), "image config"},
	} {
		t.Run(name, func(t *testing.T) {
			src, err := openSource(t, "oci:"+writeLayout(t, c.items))
			if err == nil {
				_, err = src.Image(t.Context(), Platform{OS: "linux", Arch: "amd64"})
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}
