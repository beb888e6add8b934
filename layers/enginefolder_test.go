package layers

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ship/internal/docker"
	"ship/internal/shiptest/lab"
)

// realImage is built by the engine of a part of its own system: hard links, symbolic links, capabilities, whiteouts of
// files and folders, a device, layers that lie on each other.
const realImage = `set -e
dir=$(mktemp -d)
cd /usr/lib/*-linux-gnu
libs=$(ls -d $PWD/* | grep -e /ld- -e /libc.so.6 -e /libselinux -e /libpcre2-8 | cut -c2-)
cd /
tar --xattrs --xattrs-include='*' -c bin sbin lib lib64 etc usr/lib64 usr/bin/perl* usr/bin/dash usr/bin/sh usr/bin/rm usr/bin/ln usr/bin/mknod \
	usr/bin/mkdir usr/bin/touch $libs | docker import - real:base
cd $dir
echo v1 >version
cat >Dockerfile <<'END'
FROM real:base
VOLUME /data
COPY version /version
RUN rm -rf /etc/apt /etc/shells /etc/passwd- && mkdir -p /d/sub && mknod /d/null c 1 3 && ln /usr/bin/perl /d/hard && ln /usr/bin/perl /a-hard \
	&& ln -s / /d/soft && touch /d/empty && ln -s ../../../../etc/shadow /d/out && ln -P /d/out /d/out2
RUN rm -rf /d/sub /etc/init.d && mkdir /d/sub
CMD ["/bin/sh"]
END
DOCKER_BUILDKIT=0 docker build -q -t real:v1 .
rm -rf $dir`

// testThrough: one who cannot see the engine's folder has the engine read it, layer by layer, and leaves nothing there.
func testThrough(t *testing.T, h *lab.Host, e *realEngine) {
	_, err := h.Exec(t.Context(), realImage)
	must(t, err)
	state := func() string {
		out, err := h.Exec(t.Context(), "docker ps -aq; docker volume ls -q; grep ship-folder /proc/mounts || true")
		must(t, err)
		return out
	}
	before := state()
	through, cache := &realEngine{Client: e.Client}, t.TempDir()
	t.Run("every layer", func(t *testing.T) {
		img, told := through.open(t, "real:v1", cache)
		if len(img.Layers) < 4 {
			t.Fatalf("%d layers", len(img.Layers))
		}
		spool := newSpool(t, SpoolOptions{Dir: cache})
		var estimate int64
		for i, l := range img.Layers {
			estimate += l.Blob.Estimate
			b, err := spool.Blob(t.Context(), img, i, Accept{Zstd: i%2 == 0})
			must(t, err)
			plain := unpacked(t, readSpooled(t, b), b.Compression)
			if DiffID(DigestOf(plain)) != l.DiffID {
				t.Errorf("layer %d is another", i)
			}
		}
		if estimate < 1<<20 {
			t.Errorf("about %d bytes", estimate)
		}
		if len(*told) != 1 || !strings.Contains((*told)[0], "through the engine") {
			t.Errorf("told %q", *told)
		}
		if left, err := filepath.Glob(filepath.Join(cache, "tmp", "*", "[0-9]*")); len(left) != 0 {
			t.Errorf("files left: %q %v", left, err)
		}
	})
	t.Run("all of it in the cache", func(t *testing.T) {
		img, told := through.open(t, "real:v1", cache)
		spool := newSpool(t, SpoolOptions{Dir: cache})
		for i := range img.Layers {
			b, err := spool.Blob(t.Context(), img, i, Accept{Zstd: i%2 == 0})
			must(t, err)
			readSpooled(t, b)
		}
		if len(*told) != 1 || !strings.Contains((*told)[0], "from the cache") || state() != before {
			t.Errorf("told %q; the engine has\n%sand had\n%s", *told, state(), before)
		}
	})
	t.Run("its container pruned", func(t *testing.T) {
		img, told := through.open(t, "real:v1", t.TempDir())
		_, err := h.Exec(t.Context(), "docker rm -v $(docker ps -aq --filter label=ship.read)")
		must(t, err)
		r, err := img.Open(t.Context(), 0)
		must(t, err)
		_, err = io.Copy(io.Discard, r)
		must(t, errors.Join(err, r.Close()))
		if len(*told) != 2 || !strings.Contains((*told)[1], "exports the image instead") {
			t.Errorf("told %q", *told)
		}
	})
	if n := through.saves.Load(); n != 1 {
		t.Errorf("%d exports", n)
	}
	if after := state(); after != before {
		t.Errorf("the engine has\n%sand had\n%s", after, before)
	}
}

// testDamagedThrough: what the engine reads from its folder is not what its records say.
func testDamagedThrough(t *testing.T, e *realEngine, z Compression) {
	s := newSeedImage(t, 200<<10, "damaged-through", "lib3")
	e.load(t, s.archive(t, z, "damaged-through:v1"))
	store, err := e.Store(t.Context())
	must(t, err)
	o, err := openOverlay(store, DigestOf(s.config))
	must(t, err)
	file := filepath.Join(o.layers[0].files, "damaged-through", "000")
	good, err := os.ReadFile(file)
	must(t, err)
	through := &realEngine{Client: e.Client}
	for what, damage := range map[string]func() error{
		"changed": func() error { return flip(file) },
		"short":   func() error { return os.WriteFile(file, good[:100], 0o644) },
		"gone":    func() error { return os.Remove(file) },
	} {
		img, told := through.open(t, "damaged-through:v1", t.TempDir())
		must(t, damage())
		before := through.saves.Load()
		_, err = newSpool(t, SpoolOptions{}).Blob(t.Context(), img, 0, Accept{Zstd: true})
		// The engine would export what is in the folder too: no way is left, and nothing wrong comes out.
		if !errors.As(err, new(*docker.APIError)) && !errors.Is(err, os.ErrNotExist) && err == nil || through.saves.Load() != before+1 {
			t.Errorf("%s: error %v after %d exports", what, err, through.saves.Load()-before)
		}
		if len(*told) != 2 || !strings.Contains((*told)[1], "exports the image instead") {
			t.Errorf("%s: told %q", what, *told)
		}
		must(t, os.WriteFile(file, good, 0o644))
		b, err := newSpool(t, SpoolOptions{}).Blob(t.Context(), img, 0, Accept{Zstd: true})
		must(t, err)
		if !bytes.Equal(unpacked(t, readSpooled(t, b), Zstd), s.plain[0]) {
			t.Errorf("%s: another layer", what)
		}
	}
}
