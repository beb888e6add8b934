//go:build linux

package docker

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
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

func TestLoadWithoutTag(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		m := newImage(t, "", "untagged")
		res, err := e.LoadImage(t.Context(), bytes.NewReader(m.archive(t)))
		must(t, err)
		if len(res.Refs) != 0 || len(res.IDs) != 1 || !e.store && res.IDs[0] != digest(m.config) {
			t.Fatalf("loaded %+v", res)
		}
		i, err := e.InspectImage(t.Context(), res.IDs[0])
		must(t, err)
		if len(i.RepoTags) != 0 || !slices.Equal(i.DiffIDs, m.diffIDs) {
			t.Errorf("%+v", i)
		}
		must(t, e.RemoveImage(t.Context(), res.IDs[0]))
	})
}

// Loads that must fail, each with the engine's reason, whatever status the engine gives them.
func TestLoadRefused(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		missing := newImage(t, "bad/missing:v1", "missing")
		missing.omit = 1
		wrong := newImage(t, "bad/wrong:v1", "wrong")
		wrong.diffIDs[1] = digest([]byte("something else"))
		wrong.configure(t)
		for name, tc := range map[string]struct {
			archive []byte
			want    string
		}{
			"layer missing": {missing.archive(t), "1.tar"},
			"wrong layer":   {wrong.archive(t), "diff"}, // "invalid diffID", "wrong diff id"
			"no archive":    {[]byte("this is no tar archive, but it is longer than one"), ""},
			"empty":         {nil, ""},
		} {
			_, err := e.LoadImage(t.Context(), bytes.NewReader(tc.archive))
			var le *LoadError
			if !errors.As(err, &le) || !strings.Contains(le.Message, tc.want) {
				t.Errorf("%s: %v, want a *LoadError with %q", name, err, tc.want)
			}
		}
		// Engine 28 with a containerd store has tagged the broken image all the same: inspect tells.
		i, err := e.InspectImage(t.Context(), wrong.tag)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			t.Error(err)
		case e.store && e.api >= 48 && (i.Unpacked || !i.Available):
			t.Errorf("a broken image looks whole: %+v", i)
		}
		_ = e.RemoveImage(t.Context(), wrong.tag) // may not be there
	})
}

// A layer left out of the archive whose content the engine holds under another digest: the image runs and is not whole.
func TestHalfFormedImage(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		if !e.store {
			return
		}
		m := newImage(t, "half/one:v1", "half")
		e.load(t, m)
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, err := z.Write(m.layers[1])
		must(t, err)
		must(t, z.Close())
		type desc map[string]any
		manifest, err := json.Marshal(desc{
			"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
			"config": desc{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(m.config), "size": len(m.config)},
			"layers": []desc{
				{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": m.diffIDs[0], "size": len(m.layers[0])},
				{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest(packed.Bytes()), "size": packed.Len()},
			},
		})
		must(t, err)
		index, err := json.Marshal(desc{"schemaVersion": 2, "manifests": []desc{{
			"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(manifest), "size": len(manifest),
			"annotations": desc{"io.containerd.image.name": "docker.io/half/two:v1", "org.opencontainers.image.ref.name": "v1"},
		}}})
		must(t, err)
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		blobs := "blobs/sha256/"
		tarAdd(t, w, blobs+strings.TrimPrefix(digest(m.config), "sha256:"), m.config, 0o644)
		tarAdd(t, w, blobs+strings.TrimPrefix(digest(manifest), "sha256:"), manifest, 0o644)
		tarAdd(t, w, "index.json", index, 0o644)
		tarAdd(t, w, "oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644)
		must(t, w.Close())
		res, err := e.LoadImage(t.Context(), &b)
		must(t, err)
		if !slices.Equal(res.Refs, []string{"half/two:v1"}) {
			t.Errorf("loaded %+v", res)
		}
		i, err := e.InspectImage(t.Context(), "half/two:v1")
		must(t, err)
		if want := e.api < 48; i.Available != want { // an engine that cannot tell
			t.Errorf("available %v, want %v: %+v", i.Available, want, i)
		}
		must(t, e.RemoveImage(t.Context(), "half/two:v1"))
	})
}

// The engine goes and comes back: the next call finds it.
func TestEngineRestarts(t *testing.T) {
	e := engines[0]
	path, err := e.host.DockerSocket()
	must(t, err)
	dial, err := Local(func(string) string { return "unix://" + path })
	must(t, err)
	c := New(dial)
	defer c.Close()
	must(t, second(c.Info(t.Context())))
	must(t, e.host.RestartDocker(t.Context()))
	must(t, c.EnsureVolume(t.Context(), "restart", nil))
	must(t, c.RemoveVolume(t.Context(), "restart"))
}

// A producer that fails, and a link that dies, in the middle of a layer: an error, and no image.
func TestLoadCut(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		m := newImage(t, "cut/one:v1", "cut")
		whole := m.archive(t)
		half := bytes.NewReader(whole[:len(app)/2])
		broken := errors.New("the source is gone")
		if _, err := e.LoadImage(t.Context(), io.MultiReader(half, &failing{broken})); !errors.Is(err, broken) {
			t.Errorf("%v, want the producer's error", err)
		}
		path, err := e.host.DockerSocket()
		must(t, err)
		c := New(func(ctx context.Context) (net.Conn, error) {
			conn, err := unixDialer(path)(ctx)
			k := &shortLived{Conn: conn}
			k.left.Store(int64(len(app) / 2))
			return k, err
		})
		defer c.Close()
		var le *LoadError
		if _, err := c.LoadImage(t.Context(), bytes.NewReader(whole)); err == nil || errors.As(err, &le) {
			t.Errorf("%v, want a broken link", err)
		}
		if _, err := e.InspectImage(t.Context(), m.tag); !errors.Is(err, ErrNotFound) {
			t.Errorf("after the cuts: %v, want ErrNotFound", err)
		}
		e.load(t, m)
	})
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// shortLived breaks after so many bytes written.
type shortLived struct {
	net.Conn
	left atomic.Int64
}

func (s *shortLived) Write(p []byte) (int, error) {
	if s.left.Add(-int64(len(p))) < 0 {
		s.Close()
	}
	return s.Conn.Write(p)
}
