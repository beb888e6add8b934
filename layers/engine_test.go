package layers

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ship/internal/docker"
	"ship/internal/event"
	"ship/internal/shiptest/lab"
)

// realEngine is the dockerd of a lab host, as an Engine and as what loads.
type realEngine struct {
	*docker.Client
	root   string // of the host's file system, seen from here; "" = as if it could not be seen
	closed bool   // the engine does not give its folder either
	saves  atomic.Int32
}

func (e *realEngine) Store(ctx context.Context) (EngineStore, error) {
	info, err := e.Info(ctx)
	return EngineStore{Containerd: info.ContainerdStore, Driver: info.Driver, RootDir: filepath.Join(e.root, info.RootDir)}, err
}

func (e *realEngine) ImageID(ctx context.Context, ref string) (string, error) {
	info, err := e.InspectImage(ctx, ref)
	return info.ID, err
}

func (e *realEngine) Contents(ctx context.Context) ([]Content, error) {
	list, err := e.ListContent(ctx)
	out := make([]Content, len(list))
	for i, c := range list {
		out[i] = Content(c)
	}
	return out, err
}

func (e *realEngine) ReadContent(ctx context.Context, digest string) (io.ReadCloser, error) {
	return e.Client.ReadContent(ctx, digest, 0)
}

func (e *realEngine) SaveImage(ctx context.Context, ref string) (io.ReadCloser, error) {
	e.saves.Add(1)
	return e.Client.SaveImage(ctx, ref)
}

func (e *realEngine) Folder(ctx context.Context, image, dir string) (EngineFolder, error) {
	if e.closed {
		dir = "/nowhere"
	}
	return e.OpenFolder(ctx, image, dir)
}

func (e *realEngine) load(t *testing.T, a Archive) {
	t.Helper()
	r, w := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		_, err := a.WriteTo(w)
		w.CloseWithError(err)
		wrote <- err
	}()
	_, err := e.LoadImage(t.Context(), r)
	r.CloseWithError(err)
	if werr := <-wrote; err != nil || werr != nil {
		t.Fatalf("load %s: %v (writer: %v)", a.Tag, err, werr)
	}
}

// held asks the engine, as ship asks a host.
func (e *realEngine) held(t *testing.T, s seedImage) Held {
	t.Helper()
	store, err := e.Store(t.Context())
	must(t, err)
	if store.Containerd {
		list, err := e.Contents(t.Context())
		must(t, err)
		blobs, err := BlobsOf(t.Context(), list, e.ReadContent, s.ids)
		must(t, err)
		return Held{ContainerdStore: true, Blobs: blobs}
	}
	_, err = e.LoadImage(t.Context(), bytes.NewReader(Probe(s.config, s.ids, "ship.invalid/probe:x")))
	if err == nil {
		return Held{Prefix: len(s.ids)}
	}
	n, ok := ProbeMissing(err.Error())
	if !ok {
		t.Fatalf("the probe says %v", err)
	}
	return Held{Prefix: n}
}

// archiveFor writes only what the host lacks.
func (s seedImage) archiveFor(t *testing.T, h Held, z Compression, tag string) Archive {
	t.Helper()
	img := s.image(t, Plain, false)
	a := s.archive(t, z, tag)
	missing := h.Missing(img)
	for i := range a.Layers {
		if !slices.Contains(missing, i) {
			a.Layers[i] = h.Name(img, i)
		}
	}
	return a
}

// wantLoaded checks an image in the engine by saving it back and by making a container of it.
func (e *realEngine) wantLoaded(t *testing.T, h *lab.Host, tag string, s seedImage) {
	t.Helper()
	r, err := e.Client.SaveImage(t.Context(), tag)
	must(t, err)
	saved, err := io.ReadAll(r)
	must(t, errors.Join(err, r.Close()))
	img := onlyImage(t, "docker-archive:"+writeFile(t, "saved.tar", saved))
	wantImage(t, img, s)
	if img.Ref != tag {
		t.Errorf("saved as %q, want %q", img.Ref, tag)
	}
	if _, err := h.Exec(t.Context(), "docker rm $(docker create --pull never "+tag+")"); err != nil {
		t.Error(err)
	}
}

func TestEngines(t *testing.T) {
	l, err := lab.Up(t.Context(), lab.Options{Log: t.Output(), Hosts: []lab.HostOptions{
		{Engine: "bookworm"}, {Engine: "trixie"}, {Engine: "trixie", ContainerdStore: true}, {Engine: "sid", ContainerdStore: true}, {Engine: "sid"},
	}})
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	for _, h := range l.Hosts {
		socket, err := h.DockerSocket()
		must(t, err)
		e := &realEngine{root: strings.TrimSuffix(socket, "/run/docker.sock"), Client: docker.New(func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		})}
		t.Cleanup(e.Close)
		info, err := e.Info(t.Context())
		must(t, err)
		z := Gzip
		if info.Zstd() {
			z = Zstd
		}
		t.Run(fmt.Sprintf("%s %s", h.Options.Engine, info.Driver), func(t *testing.T) {
			t.Parallel()
			t.Run("only what is missing", func(t *testing.T) { testMissing(t, h, e, z) })
			t.Run("layer by layer", func(t *testing.T) { testPrefixes(t, h, e, z) })
			t.Run("built", func(t *testing.T) { testBuilt(t, e) })
			t.Run("every kind of file", func(t *testing.T) { testKinds(t, e, z) })
			t.Run("as a source", func(t *testing.T) { testSource(t, e, z) })
			t.Run("as a source far away", func(t *testing.T) { testFar(t, e, z) })
			t.Run("plain layers", func(t *testing.T) { testPlainLayers(t, h, e, z) })
			if info.ContainerdStore {
				t.Run("platforms", func(t *testing.T) { testPlatforms(t, e, z) })
			} else {
				t.Run("exported once", func(t *testing.T) { testExport(t, e, z) })
				t.Run("through the engine", func(t *testing.T) { testThrough(t, h, e) })
				t.Run("damaged through the engine", func(t *testing.T) { testDamagedThrough(t, e, z) })
				t.Run("damaged folder", func(t *testing.T) { testDamagedFolder(t, e, z) })
			}
		})
	}
}

func testMissing(t *testing.T, h *lab.Host, e *realEngine, z Compression) {
	v1, v2 := newSeedImage(t, 200<<10, "base", "lib", "app1"), newSeedImage(t, 200<<10, "base", "lib", "app2")
	if m := e.held(t, v1).Missing(v1.image(t, Plain, false)); len(m) != 3 {
		t.Errorf("a fresh host lacks %v", m)
	}
	e.load(t, v1.archiveFor(t, Held{}, z, "shop:v1"))
	e.wantLoaded(t, h, "shop:v1", v1)
	held := e.held(t, v2)
	if m := held.Missing(v2.image(t, Plain, false)); !slices.Equal(m, []int{2}) {
		t.Errorf("with v1 there, v2 lacks %v", m)
	}
	a := v2.archiveFor(t, held, z, "shop:v2")
	e.load(t, a)
	e.wantLoaded(t, h, "shop:v2", v2)
	must(t, e.RemoveImage(t.Context(), "shop:v1"))
	e.wantLoaded(t, h, "shop:v2", v2)
	held = e.held(t, v2)
	if m := held.Missing(v2.image(t, Plain, false)); len(m) != 0 {
		t.Errorf("with v2 there, v2 lacks %v", m)
	}
	id, err := e.ImageID(t.Context(), "shop:v2")
	must(t, err)
	want := DigestOf(v2.config)
	if held.ContainerdStore {
		want, err = a.ManifestDigest()
		must(t, err)
	}
	if id != string(want) {
		t.Errorf("image ID %s, want %s", id, want)
	}
}

func testPrefixes(t *testing.T, h *lab.Host, e *realEngine, z Compression) {
	s := newSeedImage(t, 100<<10, "one", "two", "three", "two")
	full := s.archive(t, z, "parts:v1")
	var tags []string
	for n := 1; n < len(s.ids); n++ {
		config, err := Prefix(s.config, n)
		must(t, err)
		part := Archive{Config: config, Layers: slices.Clone(full.Layers[:n]), Tag: fmt.Sprintf("ship.invalid/part:%d", n)}
		for i := range n - 1 {
			part.Layers[i].Open = nil
		}
		e.load(t, part)
		tags = append(tags, part.Tag)
		if m := e.held(t, s).Missing(s.image(t, Plain, false)); len(m) > len(s.ids)-n {
			t.Errorf("with %d layers loaded, %v are missing", n, m)
		}
	}
	e.load(t, s.archiveFor(t, e.held(t, s), z, "parts:v1"))
	for _, tag := range tags {
		must(t, e.RemoveImage(t.Context(), tag))
	}
	e.wantLoaded(t, h, "parts:v1", s)
}

func testBuilt(t *testing.T, e *realEngine) {
	src, err := Build(BuildConfig{Platform: Platform{OS: "linux", Arch: "amd64"}, Entrypoint: []string{"/ship"}, Labels: map[string]string{"ship.role": "proxy"}},
		[]File{textFile("/ship", "not really a program", 0o755)})
	must(t, err)
	img, err := src.Image(t.Context(), Platform{})
	must(t, err)
	b, err := newSpool(t, SpoolOptions{}).Blob(t.Context(), img, 0, Accept{})
	must(t, err)
	e.load(t, Archive{Config: img.Config, Tag: "ship/proxy:v1", Layers: []ArchiveLayer{{DiffID: img.Layers[0].DiffID, Blob: b.Blob,
		Open: func() (io.ReadCloser, error) { return b.Open(t.Context()) }}}})
	info, err := e.InspectImage(t.Context(), "ship/proxy:v1")
	must(t, err)
	if !slices.Equal(info.Entrypoint, []string{"/ship"}) || info.Labels["ship.role"] != "proxy" || !slices.Equal(info.DiffIDs, []string{string(img.Layers[0].DiffID)}) {
		t.Errorf("the engine sees %+v", info)
	}
}

// open the image of the engine and tell how it is read.
func (e *realEngine) open(t *testing.T, tag, cache string) (img *Image, told *[]string) {
	t.Helper()
	told = new([]string)
	src, err := Open(t.Context(), Ref{Transport: TransportDaemon, Name: tag}, e, OpenOptions{CacheDir: cache,
		Emit: func(ev event.Event) {
			if ev.Type != event.Progress {
				*told = append(*told, ev.Text)
			}
		}})
	must(t, err)
	t.Cleanup(func() { must(t, src.Close()) })
	img, err = src.Image(t.Context(), Platform{})
	must(t, err)
	return img, told
}

func testSource(t *testing.T, e *realEngine, z Compression) {
	s := newSeedImage(t, 200<<10, "source", "lib", "source")
	e.load(t, s.archive(t, z, "source:v1"))
	before := e.saves.Load()
	for _, name := range []string{"source:v1", string(mustID(t, e, "source:v1"))} {
		img, told := e.open(t, name, t.TempDir())
		wantImage(t, img, s)
		if n := img.Layers[0].Blob.Roughly(); n < 75*200<<10/100 || n > 210<<10 {
			t.Errorf("the first layer is about %d bytes", n)
		}
		if len(*told) != 1 || !strings.Contains((*told)[0], "single layers") {
			t.Errorf("told %q", *told)
		}
	}
	if n := e.saves.Load() - before; n != 0 {
		t.Errorf("%d exports", n)
	}
	_, err := Open(t.Context(), Ref{Transport: TransportDaemon, Name: "none:v1"}, e, OpenOptions{CacheDir: t.TempDir()})
	if !errors.Is(err, docker.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}

// testPlatforms: a containerd store keeps an image for several platforms.
func testPlatforms(t *testing.T, e *realEngine, z Compression) {
	amd := newSeedImageFor(t, Platform{OS: "linux", Arch: "amd64"}, 10<<10, "amd")
	arm := newSeedImageFor(t, Platform{OS: "linux", Arch: "arm64"}, 10<<10, "arm")
	amdItems, a := amd.ociItems(t, z)
	armItems, b := arm.ociItems(t, z)
	a.Platform, b.Platform = &ociPlatform{OS: "linux", Architecture: "amd64"}, &ociPlatform{OS: "linux", Architecture: "arm64"}
	index := asJSON(t, ociIndex{SchemaVersion: 2, MediaType: mediaIndex, Manifests: []descriptor{a, b}})
	top := named(descriptor{MediaType: mediaIndex, Digest: DigestOf(index), Size: int64(len(index))}, "docker.io/library/multi:v1", "v1")
	items := append(append(amdItems, armItems...), item(blobPath(top.Digest), index))
	_, err := e.LoadImage(t.Context(), bytes.NewReader(tarOf(t, layoutOf(t, items, top)...)))
	must(t, err)
	src, err := Open(t.Context(), Ref{Transport: TransportDaemon, Name: "multi:v1"}, e, OpenOptions{CacheDir: t.TempDir()})
	must(t, err)
	for _, s := range []seedImage{amd, arm} {
		c, err := parseConfig(s.config)
		must(t, err)
		img, err := src.Image(t.Context(), c.platform())
		must(t, err)
		wantImage(t, img, s)
	}
	must(t, src.Close())
}

func mustID(t *testing.T, e *realEngine, tag string) Digest {
	t.Helper()
	s, err := e.ImageID(t.Context(), tag)
	must(t, err)
	return Digest(s)
}

// testExport: an engine whose folders cannot be seen exports a new image once, and an unchanged one never.
func testExport(t *testing.T, e *realEngine, z Compression) {
	s := newSeedImage(t, 200<<10, "export", "lib", "export")
	e.load(t, s.archive(t, z, "export:v1"))
	blind := &realEngine{Client: e.Client, closed: true}
	cache := t.TempDir()
	for run := range 2 {
		img, told := blind.open(t, "export:v1", cache)
		wantImage(t, img, s)
		spool := newSpool(t, SpoolOptions{Dir: cache})
		for i := range img.Layers {
			b, err := spool.Blob(t.Context(), img, i, Accept{Zstd: run == 0})
			must(t, err)
			readSpooled(t, b)
		}
		if blind.saves.Load() != 1 || run == 0 && !strings.Contains((*told)[0], "gives no single layers") || run == 1 && len(*told) != 1 {
			t.Errorf("run %d: %d exports (%q)", run, blind.saves.Load(), *told)
		}
	}
	// With a layer gone from the cache, only who needs that layer pays for another export.
	files, err := filepath.Glob(filepath.Join(cache, s.ids[1].Hex()+".*.zstd"))
	must(t, errors.Join(err, os.Remove(files[0])))
	img, _ := blind.open(t, "export:v1", cache)
	if blind.saves.Load() != 1 {
		t.Error("exported before a layer is read")
	}
	wantImage(t, img, s)
	if blind.saves.Load() != 2 {
		t.Errorf("%d exports", blind.saves.Load())
	}
	// One that turns out to be damaged is exported again for the next who asks.
	files, err = filepath.Glob(filepath.Join(cache, s.ids[1].Hex()+".*.zstd"))
	must(t, errors.Join(err, flip(files[0])))
	spool := newSpool(t, SpoolOptions{Dir: cache})
	for try, want := range []error{ErrTryAgain, nil} {
		g, err := spool.Grow(t.Context(), img, 1, Accept{Zstd: true})
		must(t, err)
		if _, err := g.Blob(t.Context()); !errors.Is(err, want) {
			t.Errorf("try %d: %v", try, err)
		}
		must(t, g.Close())
	}
	if blind.saves.Load() != 3 {
		t.Errorf("%d exports", blind.saves.Load())
	}
}

// testDamagedFolder: what lies in the engine's folder is not what its records say.
func testDamagedFolder(t *testing.T, e *realEngine, z Compression) {
	s := newSeedImage(t, 200<<10, "damaged", "lib2")
	e.load(t, s.archive(t, z, "damaged:v1"))
	store, err := e.Store(t.Context())
	must(t, err)
	o, err := openOverlay(store, DigestOf(s.config))
	must(t, err)
	file := filepath.Join(o.layers[0].files, "damaged", "000")
	good, err := os.ReadFile(file)
	must(t, err)
	must(t, flip(file))
	img, told := e.open(t, "damaged:v1", t.TempDir())
	if len(*told) != 1 || !strings.Contains((*told)[0], "single layers") {
		t.Errorf("told %q", *told)
	}
	before := e.saves.Load()
	_, err = newSpool(t, SpoolOptions{}).Blob(t.Context(), img, 0, Accept{Zstd: true})
	// The engine would export what is in the folder too: no way is left, and nothing wrong comes out.
	if !errors.As(err, new(*docker.APIError)) || !strings.Contains(err.Error(), "integrity") || e.saves.Load() != before+1 {
		t.Errorf("error %v after %d exports", err, e.saves.Load()-before)
	}
	if len(*told) != 2 || !strings.Contains((*told)[1], "exports the image instead") {
		t.Errorf("told %q", *told)
	}
	must(t, os.WriteFile(file, good, 0o644))
	b, err := newSpool(t, SpoolOptions{}).Blob(t.Context(), img, 0, Accept{Zstd: true})
	must(t, err)
	if !bytes.Equal(unpacked(t, readSpooled(t, b), Zstd), s.plain[0]) {
		t.Error("another layer")
	}
}

// testKinds: a layer with all that a tar can hold comes back to the bit.
func testKinds(t *testing.T, e *realEngine, z Compression) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	long := strings.Repeat("a long name ", 16)
	for _, h := range []tar.Header{
		{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "etc/file", Typeflag: tar.TypeReg, Mode: 0o4755, Size: 5, Uid: 1234, Gid: 99, Uname: "someone"},
		{Name: "etc/hard", Typeflag: tar.TypeLink, Linkname: "etc/file"},
		{Name: "etc/soft", Typeflag: tar.TypeSymlink, Linkname: "/etc/file"},
		{Name: "etc/out", Typeflag: tar.TypeSymlink, Linkname: "../../../../etc"},
		{Name: "etc/fifo", Typeflag: tar.TypeFifo, Mode: 0o600},
		{Name: "etc/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, Mode: 0o666},
		{Name: "etc/" + long, Typeflag: tar.TypeReg, Size: 5, Format: tar.FormatPAX},
		{Name: "etc/gnu" + long, Typeflag: tar.TypeReg, Size: 5, Format: tar.FormatGNU},
		{Name: "etc/xattr", Typeflag: tar.TypeReg, Size: 5, PAXRecords: map[string]string{"SCHILY.xattr.user.a": "b"}, ModTime: time.Unix(1, 5)},
		{Name: "etc/ünïcode\xff", Typeflag: tar.TypeReg, Size: 5, Format: tar.FormatGNU},
		{Name: "etc/.wh.gone", Typeflag: tar.TypeReg},
		{Name: "var/", Typeflag: tar.TypeDir, Mode: 0o700},
		{Name: "var/.wh..wh..opq", Typeflag: tar.TypeReg},
		{Name: "var/empty", Typeflag: tar.TypeReg},
	} {
		must(t, w.WriteHeader(&h))
		_, err := w.Write([]byte("hello")[:h.Size])
		must(t, err)
	}
	must(t, w.Close())
	plain := append(b.Bytes(), make([]byte, 20<<10)...) // some writers pad to 20 blocks
	s := newSeedImage(t, 100, "below", "kinds", "empty")
	old := string(s.ids[1])
	s.plain[1], s.ids[1] = plain, DiffID(DigestOf(plain))
	s.config = bytes.ReplaceAll(s.config, []byte(old), []byte(s.ids[1]))
	old = string(s.ids[2])
	s.plain[2] = make([]byte, 1024)
	s.ids[2] = DiffID(DigestOf(s.plain[2]))
	s.config = bytes.ReplaceAll(s.config, []byte(old), []byte(s.ids[2]))
	e.load(t, s.archive(t, z, "kinds:v1"))
	img, told := e.open(t, "kinds:v1", t.TempDir())
	wantImage(t, img, s)
	if len(*told) != 1 || !strings.Contains((*told)[0], "single layers") {
		t.Errorf("told %q", *told)
	}
	through := &realEngine{Client: e.Client}
	img, told = through.open(t, "kinds:v1", t.TempDir())
	wantImage(t, img, s)
	if len(*told) != 1 || !strings.Contains((*told)[0], "single layers") || through.saves.Load() != 0 {
		t.Errorf("told %q, %d exports", *told, through.saves.Load())
	}
}
