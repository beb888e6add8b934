package layers

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tarOf writes entries as an archive.
func tarOf(t testing.TB, headers ...tarItem) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		h.Header.Size = int64(len(h.data))
		if h.Header.Typeflag == 0 {
			h.Header.Typeflag = tar.TypeReg
		}
		must(t, w.WriteHeader(&h.Header))
		_, err := w.Write(h.data)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

type tarItem struct {
	tar.Header
	data []byte
}

func item(name string, data []byte) tarItem { return tarItem{tar.Header{Name: name}, data} }

func link(kind byte, name, target string) tarItem {
	return tarItem{tar.Header{Name: name, Linkname: target, Typeflag: kind}, nil}
}

func asJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return b
}

// v1Archive is what `docker save` before 25 wrote: equal layers are links to the first.
func (s seedImage) v1Archive(t testing.TB, z Compression, tags ...string) []tarItem {
	t.Helper()
	var items []tarItem
	var paths []string
	first := make(map[DiffID]string)
	for i, d := range s.ids {
		name := fmt.Sprintf("%064x/layer.tar", i)
		paths = append(paths, name)
		items = append(items, item(fmt.Sprintf("%064x/VERSION", i), []byte("1.0")), item(fmt.Sprintf("%064x/json", i), []byte("{}")))
		if old, ok := first[d]; ok {
			items = append(items, link(tar.TypeSymlink, name, "../"+old))
			continue
		}
		first[d] = name
		items = append(items, item(name, packed(t, s.plain[i], z)))
	}
	name := DigestOf(s.config).Hex() + ".json"
	return append(items, item(name, s.config), item("manifest.json", asJSON(t, []archiveItem{{name, tags, paths}})))
}

// ociItems are the blobs of an OCI layout, and the descriptor of the manifest.
func (s seedImage) ociItems(t testing.TB, z Compression) ([]tarItem, descriptor) {
	t.Helper()
	m := ociManifest{SchemaVersion: 2, MediaType: mediaManifest, Config: descriptor{MediaType: mediaConfig, Digest: DigestOf(s.config), Size: int64(len(s.config))}}
	items := []tarItem{item(blobPath(DigestOf(s.config)), s.config)}
	for _, p := range s.plain {
		b := packed(t, p, z)
		blob := Blob{Digest: DigestOf(b), Size: int64(len(b)), Compression: z}
		m.Layers = append(m.Layers, descriptor{MediaType: blob.Media(), Digest: blob.Digest, Size: blob.Size})
		items = append(items, item(blobPath(blob.Digest), b))
	}
	raw := asJSON(t, m)
	d := descriptor{MediaType: mediaManifest, Digest: DigestOf(raw), Size: int64(len(raw))}
	return append(items, item(blobPath(d.Digest), raw)), d
}

func layoutOf(t testing.TB, items []tarItem, manifests ...descriptor) []tarItem {
	return append(items, item("index.json", asJSON(t, ociIndex{SchemaVersion: 2, Manifests: manifests})),
		item("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)))
}

func named(d descriptor, full, ref string) descriptor {
	d.Annotations = map[string]string{annotationRef: ref}
	if full != "" {
		d.Annotations[annotationName] = full
	}
	return d
}

func writeFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, data, 0o600))
	return path
}

func writeLayout(t testing.TB, items []tarItem) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	for _, i := range items {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, i.Name)), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, i.Name), i.data, 0o600))
	}
	return dir
}

func openSource(t testing.TB, s string) (Source, error) {
	t.Helper()
	r, err := ParseRef(s)
	if err != nil {
		return nil, err
	}
	src, err := Open(t.Context(), r, nil, OpenOptions{CacheDir: t.TempDir()})
	if err == nil {
		t.Cleanup(func() { must(t, src.Close()) })
	}
	return src, err
}

func onlyImage(t testing.TB, s string) *Image {
	t.Helper()
	src, err := openSource(t, s)
	must(t, err)
	img, err := src.Image(t.Context(), Platform{})
	must(t, err)
	return img
}

// wantImage reads every layer of img twice and compares it with the seed.
func wantImage(t testing.TB, img *Image, s seedImage) {
	t.Helper()
	if img.ConfigDigest() != DigestOf(s.config) || !slices.Equal(img.DiffIDs(), s.ids) {
		t.Fatalf("another image: config %s", img.Config)
	}
	for i, l := range img.Layers {
		for range 2 {
			r, err := img.Open(t.Context(), i)
			must(t, err)
			b, err := io.ReadAll(r)
			must(t, err)
			must(t, r.Close())
			if !bytes.Equal(unpacked(t, b, l.Blob.Compression), s.plain[i]) {
				t.Errorf("layer %d holds something else", i)
			}
			if l.Blob.Digest != "" && l.Blob.Digest != DigestOf(b) || l.Blob.Size >= 0 && l.Blob.Size != int64(len(b)) {
				t.Errorf("layer %d is %d bytes, described as %+v", i, len(b), l.Blob)
			}
		}
	}
}

func TestEverySourceGivesTheImage(t *testing.T) {
	s := newSeedImage(t, 30<<10, "base", "lib", "base", "app")
	for _, z := range []Compression{Plain, Gzip, Zstd} {
		var saved bytes.Buffer
		_, err := s.archive(t, z, "shop:v1").WriteTo(&saved)
		must(t, err)
		oci, d := s.ociItems(t, z)
		d = named(d, "docker.io/library/shop:v1", "v1")
		layout := layoutOf(t, oci, d)
		v1 := tarOf(t, s.v1Archive(t, z, "shop:v1")...)
		dir := writeLayout(t, layout)
		for name, source := range map[string]string{
			"our archive as docker":   "docker-archive:" + writeFile(t, "a.tar", saved.Bytes()),
			"our archive as oci":      "oci-archive:" + writeFile(t, "a.tar", saved.Bytes()),
			"our archive as a path":   writeFile(t, "a.tar", saved.Bytes()),
			"by name":                 "docker-archive:" + writeFile(t, "a.tar", saved.Bytes()) + ":docker.io/library/shop:v1",
			"by place":                "docker-archive:" + writeFile(t, "a.tar", saved.Bytes()) + ":@0",
			"old docker save":         "docker-archive:" + writeFile(t, "a.tar", v1),
			"old docker save, a path": writeFile(t, "a.tar", v1),
			"whole file gzip":         writeFile(t, "a.tar.gz", packed(t, v1, Gzip)),
			"whole file zstd":         "oci-archive:" + writeFile(t, "a.tar.zst", packed(t, tarOf(t, layout...), Zstd)),
			"layout":                  "oci:" + dir,
			"layout by tag":           "oci:" + dir + ":v1",
			"layout by name":          "oci:" + dir + ":shop:v1",
			"layout as a path":        dir,
		} {
			t.Run(suffix(z)+" "+name, func(t *testing.T) {
				img := onlyImage(t, source)
				if img.Ref != "shop:v1" {
					t.Errorf("ref %q", img.Ref)
				}
				wantImage(t, img, s)
			})
		}
	}
}

func TestPlatforms(t *testing.T) {
	amd := newSeedImageFor(t, Platform{OS: "linux", Arch: "amd64"}, 10, "a")
	arm := newSeedImageFor(t, Platform{OS: "linux", Arch: "arm64"}, 10, "b")
	amdItems, a := amd.ociItems(t, Gzip)
	armItems, b := arm.ociItems(t, Gzip)
	armPlatform := b
	armPlatform.Platform = &ociPlatform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	attestation := a
	attestation.Platform = &ociPlatform{OS: "unknown", Architecture: "unknown"}
	missing := descriptor{Digest: DigestOf([]byte("not pulled")), Platform: &ociPlatform{OS: "linux", Architecture: "s390x"}}
	inner := asJSON(t, ociIndex{SchemaVersion: 2, MediaType: mediaIndex, Manifests: []descriptor{a, armPlatform, attestation, missing}})
	all := append(append(amdItems, armItems...), item(blobPath(DigestOf(inner)), inner))
	nested := descriptor{MediaType: mediaIndex, Digest: DigestOf(inner), Size: int64(len(inner))}
	for name, manifests := range map[string][]descriptor{
		"an index in the index": {nested},
		"in the index itself":   {a, armPlatform, attestation},
	} {
		t.Run(name, func(t *testing.T) {
			src, err := openSource(t, writeLayout(t, layoutOf(t, all, manifests...)))
			must(t, err)
			if got := src.Platforms(); len(got) != 2 {
				t.Errorf("platforms %v", got)
			}
			img, err := src.Image(t.Context(), Platform{OS: "linux", Arch: "arm64"})
			must(t, err)
			wantImage(t, img, arm)
			_, err = src.Image(t.Context(), Platform{OS: "linux", Arch: "riscv64"})
			var none *PlatformError
			if !errors.As(err, &none) || !strings.Contains(err.Error(), "no image for linux/riscv64; there is linux/amd64, linux/arm64/v8") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestSeveralImages(t *testing.T) {
	one, two := newSeedImage(t, 10, "a"), newSeedImage(t, 10, "b")
	items1, d1 := one.ociItems(t, Plain)
	items2, d2 := two.ociItems(t, Plain)
	dir := writeLayout(t, layoutOf(t, append(items1, items2...), named(d1, "", "v1"), named(d2, "docker.io/me/shop:v2", "v2")))
	var manifest []archiveItem
	var docker []tarItem
	for tag, s := range map[string]seedImage{"shop:v1": one, "me/shop:v2": two} {
		entry := item(blobPath(Digest(s.ids[0])), s.plain[0])
		manifest = append(manifest, archiveItem{tag + ".json", []string{tag}, []string{entry.Name}})
		docker = append(docker, entry, item(tag+".json", s.config))
	}
	file := writeFile(t, "a.tar", tarOf(t, append(docker, item("manifest.json", asJSON(t, manifest)))...))
	wantImage(t, onlyImage(t, "oci:"+dir+":v1"), one)
	wantImage(t, onlyImage(t, "oci:"+dir+":me/shop:v2"), two)
	wantImage(t, onlyImage(t, "docker-archive:"+file+":shop:v1"), one)
	for source, want := range map[string]ChoiceError{
		"oci:" + dir:                        {Have: []string{"docker.io/me/shop:v2", "v1"}},
		"oci:" + dir + ":v3":                {Want: "v3", Have: []string{"docker.io/me/shop:v2", "v1"}},
		"docker-archive:" + file:            {Have: []string{"me/shop:v2", "shop:v1"}},
		"docker-archive:" + file + ":other": {Want: "other", Have: []string{"me/shop:v2", "shop:v1"}},
	} {
		_, err := openSource(t, source)
		var choice *ChoiceError
		if !errors.As(err, &choice) || choice.Want != want.Want || !slices.Equal(choice.Have, want.Have) {
			t.Errorf("%s: error %v, want %+v", source, err, want)
		}
	}
	// The same image under two names needs no choice.
	same := writeLayout(t, layoutOf(t, items1, named(d1, "", "v1"), named(d1, "", "latest")))
	wantImage(t, onlyImage(t, same), one)
	// Two images without names cannot be told apart.
	if _, err := openSource(t, writeLayout(t, layoutOf(t, append(items1, items2...), d1, d2))); !errors.As(err, new(*ChoiceError)) {
		t.Errorf("error %v", err)
	}
}

func TestParseRef(t *testing.T) {
	file := writeFile(t, "image.tar", nil)
	dir := writeLayout(t, []tarItem{item("index.json", nil)})
	id := string(DigestOf(nil))
	for in, want := range map[string]Ref{
		"shop:v1":                           {TransportDaemon, "", "shop:v1"},
		"shop":                              {TransportDaemon, "", "shop"},
		"docker-daemon:shop:v1":             {TransportDaemon, "", "shop:v1"},
		"docker-daemon:" + id:               {TransportDaemon, "", id},
		"docker-daemon:shop@" + id:          {TransportDaemon, "", "shop@" + id},
		"127.0.0.1:5000/a:b":                {TransportDaemon, "", "127.0.0.1:5000/a:b"},
		"docker-archive:" + file:            {TransportDockerArchive, file, ""},
		"docker-archive:" + file + ":a/b:c": {TransportDockerArchive, file, "a/b:c"},
		"oci-archive:" + file + ":v1":       {TransportOCIArchive, file, "v1"},
		"oci:" + dir:                        {TransportOCI, dir, ""},
		"oci:" + dir + ":v1":                {TransportOCI, dir, "v1"},
		file:                                {TransportArchive, file, ""},
		dir:                                 {TransportOCI, dir, ""},
		"ssh:v1":                            {TransportDaemon, "", "ssh:v1"},
		"ssh://web-1/shop:v1":               {TransportSSH, "web-1", "shop:v1"},
		"ssh://web-1/" + id:                 {TransportSSH, "web-1", id},
		"ssh://me@10.0.0.1:2222/a.b:5000/shop@" + id: {TransportSSH, "me@10.0.0.1:2222", "a.b:5000/shop@" + id},
		"ssh://[::1]/shop":                           {TransportSSH, "[::1]", "shop"},
		"ssh://me@[fe80::1%eth0]:22/shop":            {TransportSSH, "me@[fe80::1%eth0]:22", "shop"},
	} {
		if got, err := ParseRef(in); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"":                         "empty",
		"a\nb":                     "control characters",
		"docker://shop":            "docker:// is not a known source; known are docker-daemon:REF, docker-archive:FILE[:REF]",
		"dir:/srv/x":               "dir: is not a known source; known are docker-daemon",
		"Shop":                     "neither a name nor a known source",
		"docker-daemon:":           "invalid image name",
		"docker-daemon:a@b":        "invalid digest",
		"docker-archive:":          "a path is missing",
		"docker-archive:" + dir:    "is a folder",
		"oci:" + file:              "for an archive write oci-archive:",
		"oci:" + t.TempDir():       "it has no index.json",
		"docker-archive:/dev/null": "not a regular file",
		t.TempDir():                "is a folder, and not an OCI layout",
		"ssh:///shop":              "the host is missing",
		"ssh://me@/shop":           "the host is missing",
		"ssh://web-1":              "write ssh://web-1/REF",
		"ssh://web-1/":             "name is missing",
		"ssh://web-1/Shop":         "must be lowercase",
		"ssh://web-1:0/shop":       "invalid port",
		"ssh://web-1:ssh/shop":     "invalid port",
		"ssh://web-1:/shop":        "invalid port",
		"ssh://::1/shop":           "needs brackets: [::1]",
		"ssh://[::1/shop":          "needs brackets",
		"ssh://[web-1]/shop":       "invalid IPv6 address",
		"ssh://[::1]x/shop":        "invalid host",
		"ssh://[::1%-x]/shop":      "invalid IPv6 address",
		"ssh://-oProxyCommand=x/s": "invalid host",
		"ssh://web 1/shop":         "invalid host",
		"ssh://-l@web-1/shop":      "invalid user",
		"ssh://@web-1/shop":        "invalid user",
		"ssh://a@b@web-1/shop":     "invalid host",
		"ssh://me:word@web-1/shop": "a password has no place",
	} {
		if _, err := ParseRef(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", in, err, want)
		}
	}
	if _, err := ParseRef("ssh://me:word@web-1/shop"); strings.Contains(err.Error(), "word@") {
		t.Errorf("the password is told: %v", err)
	}
	for _, in := range []string{"oci:/none/there", "oci-archive:none.tar", "none.tar", "./none", "/none.tgz"} {
		if _, err := ParseRef(in); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: error %v", in, err)
		}
	}
}

func TestArchiveOfTheOtherKind(t *testing.T) {
	s := newSeedImage(t, 10, "a")
	items, d := s.ociItems(t, Plain)
	oci := writeFile(t, "oci.tar", tarOf(t, layoutOf(t, items, d)...))
	docker := writeFile(t, "docker.tar", tarOf(t, s.v1Archive(t, Plain)...))
	for source, want := range map[string]string{
		"docker-archive:" + oci: "write oci-archive:" + oci,
		"oci-archive:" + docker: "write docker-archive:" + docker,
	} {
		if _, err := openSource(t, source); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
