//go:build linux

package docker

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

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
