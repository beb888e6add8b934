package images

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"ship/internal/shiptest/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }

func build(t *testing.T, dir string, s Spec) *Image {
	t.Helper()
	img, err := App(t.Context(), dir, s)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestAppIsReproducible(t *testing.T) {
	dir := t.TempDir()
	v1, v2 := shop("v1"), shop("v2")
	a, b, c := build(t, dir, v1), build(t, t.TempDir(), v1), build(t, dir, v2)
	if a.ID != b.ID || !slices.Equal(a.DiffIDs, b.DiffIDs) {
		t.Errorf("the same spec gave %s and %s", a.ID, b.ID)
	}
	if a.ID == c.ID {
		t.Error("two versions are one image")
	}
	for i, want := range []bool{true, false, true, false} { // base, deps (one file changes), app, version
		if got := a.DiffIDs[i] == c.DiffIDs[i]; got != want {
			t.Errorf("layer %d: equal in both versions: %t", i, got)
		}
	}
}

func shop(version string) Spec {
	return Spec{Ref: "shop:" + version, Version: version, Layers: []Layer{
		{Name: "base", Size: 3 << 20}, {Name: "deps", Size: 1 << 20, Files: 100, Changed: 1},
	}}
}

func TestFormats(t *testing.T) {
	dir := t.TempDir()
	spec := shop("v1")
	spec.Check, spec.Cmd, spec.Env = true, []string{"worker"}, []string{"STOP_DELAY=1s"}
	img := build(t, dir, spec)

	archive := filepath.Join(dir, "shop.tar")
	if err := img.DockerArchive(archive); err != nil {
		t.Fatal(err)
	}
	fromArchive, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "docker archive", img, fromArchive)

	folder := filepath.Join(dir, "oci")
	for range 2 { // a layout may hold several
		if err := img.OCILayout(folder); err != nil {
			t.Fatal(err)
		}
	}
	index, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if got := manifest.Manifests[0].Annotations["org.opencontainers.image.ref.name"]; got != img.Ref {
		t.Errorf("name in the layout: %q", got)
	}
	fromLayout, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "OCI layout", img, fromLayout)

	if err := img.OCIArchive(filepath.Join(dir, "oci.tar")); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(filepath.Join(dir, "oci.tar")); err != nil || st.Size() < img.Bytes {
		t.Errorf("OCI archive: %v, %v", st, err)
	}
}

func same(t *testing.T, what string, want *Image, got v1.Image) {
	t.Helper()
	if id, err := got.ConfigName(); err != nil || id.String() != want.ID {
		t.Errorf("%s: %s, %v; want %s", what, id, err, want.ID)
	}
	all, err := got.Layers()
	if err != nil || len(all) != len(want.DiffIDs) {
		t.Fatalf("%s: %d layers, %v", what, len(all), err)
	}
	for i, l := range all {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		c := newCounter()
		if _, err := io.Copy(c, r); err != nil {
			t.Errorf("%s: layer %d: %v", what, i, err)
		}
		r.Close()
		if c.sum().String() != want.DiffIDs[i] {
			t.Errorf("%s: layer %d is %s, want %s", what, i, c.sum(), want.DiffIDs[i])
		}
	}
}

func TestForeign(t *testing.T) {
	img := build(t, t.TempDir(), Spec{Ref: "shop:arm", Version: "v1", Arch: "arm64"})
	c, err := img.image.ConfigFile()
	if err != nil || c.Architecture != "arm64" || c.OS != "linux" {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestFiller holds the filler to what makes it a fair stand-in: real programs shrink to about a third.
func TestFiller(t *testing.T) {
	const size = 4 << 20
	for _, level := range []int{gzip.BestSpeed, gzip.DefaultCompression} {
		var packed bytes.Buffer
		zip, err := gzip.NewWriterLevel(&packed, level)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeFiller(zip, "x", size); err != nil {
			t.Fatal(err)
		}
		if err := zip.Close(); err != nil {
			t.Fatal(err)
		}
		if ratio := size / float64(packed.Len()); ratio < 2 || ratio > 4.5 {
			t.Errorf("gzip level %d: %.1f : 1", level, ratio)
		} else {
			t.Logf("gzip level %d: %.1f : 1", level, ratio)
		}
	}
	var zero, one bytes.Buffer
	if err := writeFiller(&zero, "x", 0); err != nil || zero.Len() != 0 {
		t.Errorf("no bytes: %d, %v", zero.Len(), err)
	}
	if err := writeFiller(&one, "x", 100_001); err != nil || one.Len() != 100_001 {
		t.Errorf("100001 bytes: %d, %v", one.Len(), err)
	}
}
