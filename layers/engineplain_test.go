package layers

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"ship/internal/docker"
	"ship/internal/event"
	"ship/internal/shiptest/lab"
)

// testPlainLayers: every way of reading an old layer gives its bytes, in any order.
func testPlainLayers(t *testing.T, h *lab.Host, e *realEngine, z Compression) {
	s := newSeedImage(t, 200<<10, "plain", "lib", "top")
	e.load(t, s.archive(t, z, "plain:v1"))
	store, err := e.Store(t.Context())
	must(t, err)
	ways := map[string]*realEngine{"content store": e}
	if !store.Containerd {
		ways = map[string]*realEngine{"overlay2": e, "engine's folder": {Client: e.Client}}
	}
	ways["export"] = &realEngine{Client: e.Client, closed: true}
	for how, engine := range ways {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			var from Engine = engine
			if how == "export" {
				from = exportOnly{engine}
			}
			for i, d := range s.ids {
				p, got, err := EnginePlain(t.Context(), from, "plain:v1", d, dir)
				must(t, err)
				if got != how {
					t.Errorf("read by way of %s", got)
				}
				wantPlain(t, p, s.plain[i])
				must(t, p.Close())
			}
			if _, _, err := EnginePlain(t.Context(), from, "plain:v1", DiffID(DigestOf(nil)), dir); err == nil || !store.Containerd && !errors.Is(err, ErrNotHeld) {
				t.Errorf("a layer of no image: %v", err)
			}
			if _, _, err := EnginePlain(t.Context(), from, "none:v1", s.ids[0], dir); !errors.Is(err, docker.ErrNotFound) {
				t.Errorf("an image that is not there: %v", err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, _, err := EnginePlain(ctx, from, "plain:v1", s.ids[0], dir); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
	t.Run("of a system", func(t *testing.T) { testPlainSystem(t, h, e) })
}

// exportOnly is an engine that gives nothing but exports.
type exportOnly struct{ *realEngine }

func (e exportOnly) Contents(context.Context) ([]Content, error) { return nil, errors.New("refused") }

// testPlainSystem reads the layers of a real system, some thousand files, in pieces in any order.
func testPlainSystem(t *testing.T, h *lab.Host, e *realEngine) {
	_, err := h.Exec(t.Context(), strings.ReplaceAll(realImage, "real:", "system:"))
	must(t, err)
	img, _ := e.open(t, "system:v1", t.TempDir())
	for i, l := range img.Layers {
		p, how, err := EnginePlain(t.Context(), e, "system:v1", l.DiffID, t.TempDir())
		must(t, err)
		const piece = 1 << 20
		data := make([]byte, p.Size())
		pieces := rand.Perm(int((p.Size() + piece - 1) / piece))
		var wg sync.WaitGroup
		for part := range slices.Chunk(pieces, max(1, len(pieces)/3+1)) {
			wg.Go(func() {
				for _, k := range part {
					b := data[k*piece : min((k+1)*piece, len(data))]
					if n, err := p.ReadAt(b, int64(k*piece)); n != len(b) || err != nil && err != io.EOF {
						t.Errorf("%d bytes of %d at %d: %v", n, len(b), k*piece, err)
					}
				}
			})
		}
		wg.Wait()
		if DiffID(DigestOf(data)) != l.DiffID {
			t.Errorf("layer %d by way of %s: other bytes", i, how)
		}
		must(t, p.Close())
	}
}

// testFar: an image of another machine's engine, whose folder must not be looked for here.
func testFar(t *testing.T, e *realEngine, z Compression) {
	s := newSeedImage(t, 200<<10, "far", "lib")
	e.load(t, s.archive(t, z, "far:v1"))
	ref, err := ParseRef("ssh://me@web-1/far:v1")
	must(t, err)
	for _, seen := range []bool{false, true} {
		engine := &realEngine{Client: e.Client}
		if seen {
			engine.root = e.root
		}
		var told []string
		src, err := Open(t.Context(), ref, engine, OpenOptions{CacheDir: t.TempDir(), Emit: func(ev event.Event) {
			if ev.Type != event.Progress {
				told = append(told, ev.Text)
			}
		}})
		must(t, err)
		img, err := src.Image(t.Context(), Platform{})
		must(t, err)
		wantImage(t, img, s)
		if img.Ref != "far:v1" || slices.ContainsFunc(told, func(s string) bool { return strings.Contains(s, "folder, nothing") }) {
			t.Errorf("%q, told %q", img.Ref, told)
		}
		spool := newSpool(t, SpoolOptions{})
		for i := range img.Layers {
			p, err := spool.PlainOf(t.Context(), img, i)
			must(t, err)
			wantPlain(t, p, s.plain[i])
			must(t, p.Close())
		}
		must(t, src.Close())
	}
	if _, err := Open(t.Context(), ref, nil, OpenOptions{}); err == nil || !strings.Contains(err.Error(), "ssh://me@web-1/far:v1: there is no engine") {
		t.Errorf("error %v", err)
	}
}

func TestOpenFiles(t *testing.T) {
	dir := t.TempDir()
	opened := 0
	open := func() (*os.File, error) {
		opened++
		return os.CreateTemp(dir, "")
	}
	o := newOpenFiles(2)
	a, err := o.get(1, open)
	must(t, err)
	again, err := o.get(1, open)
	must(t, err)
	b, err := o.get(2, open)
	must(t, err)
	c, err := o.get(3, open) // all others are being read
	must(t, err)
	if a != again || opened != 3 || len(o.files) != 3 {
		t.Errorf("opened %d, keeps %d", opened, len(o.files))
	}
	for _, f := range []*openFile{a, b, c, again} {
		o.put(f)
	}
	if len(o.files) != 2 {
		t.Errorf("keeps %d", len(o.files))
	}
	if _, err := o.get(4, func() (*os.File, error) { return nil, os.ErrNotExist }); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	must(t, o.Close())
	if _, err := c.Write(bytes.Repeat([]byte("x"), 10)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("still open: %v", err)
	}
}

// savedEngine is an engine that exports an archive.
type savedEngine struct {
	Engine
	archive []byte
	id      Digest
	closed  bool
}

func (e *savedEngine) Store(context.Context) (EngineStore, error) {
	return EngineStore{Driver: "vfs"}, nil
}
func (e *savedEngine) ImageID(context.Context, string) (string, error)          { return string(e.id), nil }
func (e *savedEngine) SaveImage(context.Context, string) (io.ReadCloser, error) { return e, nil }
func (e *savedEngine) Close() error                                             { e.closed = true; return nil }
func (e *savedEngine) Read(p []byte) (int, error) {
	if len(e.archive) == 0 {
		return 0, io.EOF
	}
	n := copy(p, e.archive)
	e.archive = e.archive[n:]
	return n, nil
}

// TestPlainFromExports of every form, old and new.
func TestPlainFromExports(t *testing.T) {
	s := newSeedImage(t, 100<<10, "a", "b", "a")
	items, d := s.ociItems(t, Zstd)
	plainItems, plain := s.ociItems(t, Plain)
	whole := tarOf(t, s.v1Archive(t, Plain)...)
	for name, c := range map[string]struct {
		archive []byte
		want    error // nil = the layer
	}{
		"old":              {whole, nil},
		"old, packed":      {tarOf(t, s.v1Archive(t, Gzip)...), nil},
		"layout":           {tarOf(t, layoutOf(t, plainItems, plain)...), nil},
		"layout, packed":   {tarOf(t, layoutOf(t, items, d)...), nil},
		"cut":              {whole[:60<<10], io.ErrUnexpectedEOF},
		"without it":       {tarOf(t, item("manifest.json", []byte("[]"))), ErrNotHeld},
		"nothing":          {nil, ErrNotHeld},
		"no tar":           {bytes.Repeat([]byte("x"), 1024), tar.ErrHeader},
		"too many entries": {tarOf(t, slices.Repeat([]tarItem{item("x", nil)}, maxEntries+1)...), errNone},
	} {
		for _, i := range []int{0, 1} {
			e := &savedEngine{archive: c.archive, id: DigestOf(s.config)}
			dir := t.TempDir()
			p, how, err := EnginePlain(t.Context(), e, "shop:v1", s.ids[i], dir)
			switch {
			case c.want == nil && err != nil, c.want != nil && err == nil, c.want != nil && c.want != errNone && !errors.Is(err, c.want):
				t.Errorf("%s: error %v", name, err)
			case err == nil:
				wantPlain(t, p, s.plain[i])
				must(t, p.Close())
				if how != "export" {
					t.Errorf("%s: by way of %s", name, how)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 || !e.closed {
				t.Errorf("%s: left %q, closed %v", name, left, e.closed)
			}
		}
	}
}

func FuzzPlainFromExport(f *testing.F) {
	s := newSeedImage(f, 10, "a")
	f.Add(tarOf(f, s.v1Archive(f, Plain)...))
	f.Add(tarOf(f, s.v1Archive(f, Gzip)...))
	items, d := s.ociItems(f, Zstd)
	f.Add(tarOf(f, layoutOf(f, items, d)...))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		p, _, err := EnginePlain(t.Context(), &savedEngine{archive: b, id: DigestOf(s.config)}, "shop:v1", s.ids[0], dir)
		if err == nil {
			wantPlain(t, p, s.plain[0])
			must(t, p.Close())
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
}
