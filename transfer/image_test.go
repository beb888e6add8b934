package transfer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"

	"ship/layers"
)

// testLayer is a layer whose bytes follow from its name and size. Equal ones are equal in every image.
type testLayer struct {
	name string
	size int                // of its one file, in bytes; 0 = a tar without entries
	z    layers.Compression // as the image source stores it
	zero bool               // the file is all zeros, which compresses to nothing
}

// tar gives the layer's uncompressed bytes, which do not get smaller when they are compressed.
func (l testLayer) tar(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if l.size > 0 {
		must(t, w.WriteHeader(&tar.Header{Name: l.name, Mode: 0o644, Size: int64(l.size)}))
		content := make([]byte, l.size)
		if !l.zero {
			seed := sha256.Sum256(fmt.Append(nil, l.name, l.size))
			_, _ = rand.NewChaCha8(seed).Read(content) // never fails
		}
		_, err := w.Write(content)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

// writeImage writes an OCI layout and returns its folder.
func writeImage(t testing.TB, of ...testLayer) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "blobs/sha256"), 0o755))
	type descriptor struct {
		MediaType string        `json:"mediaType"`
		Digest    layers.Digest `json:"digest"`
		Size      int           `json:"size"`
	}
	blob := func(media string, b []byte) descriptor {
		d := layers.DigestOf(b)
		must(t, os.WriteFile(filepath.Join(dir, "blobs/sha256", d.Hex()), b, 0o644))
		return descriptor{media, d, len(b)}
	}
	diffIDs, blobs, history := []layers.Digest{}, []descriptor{}, []map[string]any{}
	for _, l := range of {
		plain := l.tar(t)
		diffIDs = append(diffIDs, layers.DigestOf(plain))
		media, packed := compress(t, l.z, plain)
		blobs = append(blobs, blob(media, packed))
		history = append(history, map[string]any{"created_by": "COPY " + l.name}, map[string]any{"created_by": "ENV", "empty_layer": true})
	}
	config := blob("application/vnd.oci.image.config.v1+json", asJSON(t, map[string]any{
		"os": "linux", "architecture": runtime.GOARCH, "created": "2026-01-01T00:00:00Z",
		"config":  map[string]any{"Labels": map[string]string{"test": t.Name()}},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": diffIDs},
		"history": history,
	}))
	manifest := blob("application/vnd.oci.image.manifest.v1+json", asJSON(t, map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": blobs,
	}))
	must(t, os.WriteFile(filepath.Join(dir, "index.json"), asJSON(t, map[string]any{"schemaVersion": 2, "manifests": []any{manifest}}), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
	return dir
}

// openImage makes an image of the layers and opens it as a source.
func openImage(t testing.TB, of ...testLayer) layers.Source {
	t.Helper()
	return openLayout(t, writeImage(t, of...))
}

func openLayout(t testing.TB, dir string) layers.Source {
	t.Helper()
	src, err := layers.Open(t.Context(), layers.Ref{Transport: layers.TransportOCI, Path: dir}, nil, layers.OpenOptions{})
	must(t, err)
	t.Cleanup(func() { must(t, src.Close()) })
	return src
}

func compress(t testing.TB, z layers.Compression, plain []byte) (media string, packed []byte) {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch z {
	case layers.Gzip:
		w, err = gzip.NewWriterLevel(&b, gzip.NoCompression) // quick also under the race detector
	case layers.Zstd:
		w, err = zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedFastest))
	default:
		return "application/vnd.oci.image.layer.v1.tar", plain
	}
	must(t, err)
	_, err = w.Write(plain)
	must(t, err)
	must(t, w.Close())
	return "application/vnd.oci.image.layer.v1.tar+" + string(z), b.Bytes()
}

func asJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
