//go:build linux

package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// testImage is an image of one layer per file, as an archive of `docker save`.
type testImage struct {
	tag     string // "" = none
	layers  [][]byte
	diffIDs []string // what the config says; normally the digests of layers
	config  []byte
	omit    int // layer that the archive names but does not hold; -1 = none
}

func digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// newImage has the app and a file that makes its second layer, hence its ID, differ by seed.
func newImage(t *testing.T, tag, seed string) *testImage {
	t.Helper()
	m := &testImage{tag: tag, omit: -1, layers: [][]byte{tarOf(t, "app", app, 0o755), tarOf(t, "seed", []byte(seed), 0o644)}}
	for _, l := range m.layers {
		m.diffIDs = append(m.diffIDs, digest(l))
	}
	m.configure(t)
	return m
}

func (m *testImage) configure(t *testing.T) {
	t.Helper()
	var err error
	m.config, err = json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "created": "2026-01-02T03:04:05Z",
		"rootfs": map[string]any{"type": "layers", "diff_ids": m.diffIDs},
		"config": map[string]any{
			"Entrypoint": []string{"/app"}, "Cmd": []string{"serve"}, "Env": []string{"NAME=image"}, "Labels": map[string]string{"made": "here"},
			"ExposedPorts": map[string]any{"80/tcp": map[string]any{}},
			"Healthcheck":  map[string]any{"Test": []string{"CMD", "/app", "alive"}, "Interval": 200_000_000},
		},
	})
	must(t, err)
}

// archive puts the metadata last.
func (m *testImage) archive(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	var paths []string
	for i, l := range m.layers {
		paths = append(paths, fmt.Sprintf("layers/%d.tar", i))
		if i != m.omit {
			tarAdd(t, w, paths[i], l, 0o644)
		}
	}
	manifest := map[string]any{"Config": "config.json", "Layers": paths}
	if m.tag != "" {
		manifest["RepoTags"] = []string{m.tag}
	}
	j, err := json.Marshal([]any{manifest})
	must(t, err)
	tarAdd(t, w, "config.json", m.config, 0o644)
	tarAdd(t, w, "manifest.json", j, 0o644)
	must(t, w.Close())
	return b.Bytes()
}

func tarOf(t *testing.T, name string, content []byte, mode int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	tarAdd(t, w, name, content, mode)
	must(t, w.Close())
	return b.Bytes()
}

func tarAdd(t *testing.T, w *tar.Writer, name string, content []byte, mode int64) {
	t.Helper()
	must(t, w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: mode, Typeflag: tar.TypeReg}))
	_, err := w.Write(content)
	must(t, err)
}

// load loads m and removes it after the test.
func (e engine) load(t *testing.T, m *testImage) {
	t.Helper()
	res, err := e.LoadImage(t.Context(), bytes.NewReader(m.archive(t)))
	must(t, err)
	if !slices.Equal(res.Refs, []string{m.tag}) {
		t.Fatalf("loaded %+v, want %s", res, m.tag)
	}
	t.Cleanup(func() { _ = e.RemoveImage(context.Background(), m.tag) }) // the test may have done so
}

func TestInfo(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		i, err := e.Info(t.Context())
		must(t, err)
		if !strings.HasPrefix(i.ServerVersion, e.version) || i.APIVersion != fmt.Sprintf("1.%d", e.api) || i.ContainerdStore != e.store ||
			i.OS != "linux" || i.Arch != runtime.GOARCH || i.Zstd() != (e.api >= 42) || i.Rootless || i.RootDir != "/var/lib/docker" ||
			i.LogDriver != "json-file" || i.Name != e.host.Name || i.CPUs < 1 || i.Memory < 1<<20 {
			t.Errorf("%+v", i)
		}
		if want := map[bool]string{false: "overlay2", true: "overlayfs"}[e.store]; i.Driver != want {
			t.Errorf("driver %s, want %s", i.Driver, want)
		}
	})
}

func TestImage(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		m := newImage(t, "img/one:v1", "image")
		e.load(t, m)
		i, err := e.InspectImage(t.Context(), m.tag)
		must(t, err)
		if !slices.Equal(i.DiffIDs, m.diffIDs) || !slices.Equal(i.RepoTags, []string{m.tag}) || i.OS != "linux" || i.Arch != runtime.GOARCH ||
			i.Labels["made"] != "here" || !i.HasHealthcheck || !slices.Equal(i.ExposedPorts, []string{"80/tcp"}) || !slices.Equal(i.Entrypoint, []string{"/app"}) ||
			!slices.Equal(i.Cmd, []string{"serve"}) || !slices.Equal(i.Env, []string{"NAME=image"}) || i.Size <= 0 || i.Created.Year() != 2026 ||
			!i.Available || !i.Unpacked {
			t.Errorf("%+v", i)
		}
		if !e.store && i.ID != digest(m.config) {
			t.Errorf("ID %s, want the digest of the config", i.ID)
		}
		must(t, e.TagImage(t.Context(), m.tag, "127.0.0.1:5000/img/one", "other"))
		const other = "127.0.0.1:5000/img/one:other"
		if !slices.ContainsFunc(must1(e.ListImages(t.Context()))(t), func(s ImageSummary) bool {
			return s.ID == i.ID && slices.Contains(s.RepoTags, m.tag) && slices.Contains(s.RepoTags, other) && s.Labels["made"] == "here" && s.Size > 0 && s.Created.Year() == 2026
		}) {
			t.Error("not in the list under both names")
		}
		checkNamed(t, e, m.tag)
		checkSave(t, e, other, m)
		must(t, e.RemoveImage(t.Context(), m.tag))
		must(t, e.RemoveImage(t.Context(), other))
		for _, ref := range []string{m.tag, other, i.ID, "no/such:image"} {
			if _, err := e.InspectImage(t.Context(), ref); !errors.Is(err, ErrNotFound) {
				t.Errorf("inspect %s: %v, want ErrNotFound", ref, err)
			}
			if err := e.RemoveImage(t.Context(), ref); !errors.Is(err, ErrNotFound) {
				t.Errorf("remove %s: %v, want ErrNotFound", ref, err)
			}
		}
		if err := e.TagImage(t.Context(), m.tag, "x", "y"); !errors.Is(err, ErrNotFound) {
			t.Errorf("tag: %v, want ErrNotFound", err)
		}
		if _, err := e.SaveImage(t.Context(), m.tag); e.api < 51 && !e.store && !errors.Is(err, ErrNotFound) {
			t.Errorf("save: %v, want ErrNotFound", err)
		}
	})
}

// checkNamed finds the one image of that name among all that the other tests load.
func checkNamed(t *testing.T, e engine, tag string) {
	t.Helper()
	for _, pattern := range []string{tag, "img/one", "img/*"} {
		list, err := e.ListImagesNamed(t.Context(), pattern)
		must(t, err)
		if len(list) != 1 || !slices.Contains(list[0].RepoTags, tag) {
			t.Errorf("named %s: %+v", pattern, list)
		}
	}
	if list, err := e.ListImagesNamed(t.Context(), "img/two"); err != nil || len(list) != 0 {
		t.Errorf("named img/two: %+v, %v", list, err)
	}
}

func must1[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T { t.Helper(); must(t, err); return v }
}

// checkSave finds the image's layers in what the engine saves.
func checkSave(t *testing.T, e engine, ref string, m *testImage) {
	t.Helper()
	r, err := e.SaveImage(t.Context(), ref)
	must(t, err)
	defer r.Close()
	found := map[string]bool{}
	for tr := tar.NewReader(r); ; {
		_, err := tr.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		b, err := io.ReadAll(tr)
		must(t, err)
		found[digest(b)] = true
	}
	for _, d := range m.diffIDs {
		if !found[d] {
			t.Errorf("layer %s is not in the saved archive", d)
		}
	}
}
