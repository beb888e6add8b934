package main_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"ship/internal/shiptest/images"
	"ship/internal/shiptest/lab"
)

// pushed is the result of push --json.
type pushed struct {
	Tag   string
	Bytes int64
	Hosts []struct {
		Host, Error string
		ImageID     string `json:"image_id"`
		Sent        int    `json:"layers_sent"`
		Held        int    `json:"layers_held"`
		Bytes       int64
	}
}

func push(t *testing.T, args ...string) pushed {
	t.Helper()
	o := mustShip(t, 0, append([]string{"push", "--json"}, args...)...)
	lines := strings.Split(strings.TrimSpace(o.stdout), "\n")
	var last struct{ Result struct{ Result pushed } }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	return last.Result.Result
}

var everyHost = []string{"h1", "h2", "h3", "h4"}

func pushSpec(version string) images.Spec {
	return images.Spec{Ref: "pushed:" + version, Version: "pushed-" + version, Layers: []images.Layer{{Name: "lib", Size: 24 << 20, Files: 30}}}
}

// TestPushSendsWhatIsMissing, counted on the wire: the whole image once, then next to nothing, then one small layer.
func TestPushSendsWhatIsMissing(t *testing.T) {
	v1, v2 := imageOf(t, pushSpec("v1")), imageOf(t, pushSpec("v2"))
	wire := func(args ...string) (pushed, uint64) {
		if err := world.lab.ResetCounters(t.Context()); err != nil {
			t.Fatal(err)
		}
		p := push(t, args...)
		n, err := world.lab.Sent(t.Context(), lab.Controller, "")
		if err != nil {
			t.Fatal(err)
		}
		return p, uint64(n)
	}
	first, sent := wire(append([]string{v1}, everyHost...)...)
	for _, h := range first.Hosts {
		// Other tests' images have some of the layers too; the large one is this test's own.
		if h.Sent < 1 || h.Sent+h.Held != 3 || h.Bytes < 1<<20 {
			t.Errorf("first push: %+v", h)
		}
	}
	if limit := uint64(first.Bytes)*103/100 + 4*64<<10; sent > limit {
		t.Errorf("first push: %d bytes on the wire for %d bytes of layers", sent, first.Bytes)
	}
	second, sent := wire(append([]string{v1}, everyHost...)...)
	if second.Bytes != 0 || sent > 4*32<<10 {
		t.Errorf("second push: %d bytes of layers, %d on the wire", second.Bytes, sent)
	}
	third, sent := wire(append([]string{v2}, everyHost...)...)
	for _, h := range third.Hosts {
		if h.Sent != 1 || h.Held != 2 {
			t.Errorf("one small layer changed: %+v", h)
		}
	}
	if sent > 4*64<<10 {
		t.Errorf("one small layer changed: %d bytes on the wire", sent)
	}
	for _, name := range everyHost {
		out, err := world.lab.Host(name).Exec(t.Context(), "docker run --rm -d --name pushed-run pushed:v2 >/dev/null && docker rm -f pushed-run; docker images --format '{{.Repository}}:{{.Tag}}' | grep -c ship.invalid || true")
		if err != nil || !strings.HasSuffix(strings.TrimSpace(out), "0") {
			t.Errorf("%s: run the image, count temporary tags: %q %v", name, out, err)
		}
	}
}

// TestPushFromLocalEngine runs the program on a controller with an engine of its own: of an image of which a small
// layer changed only that one is sent, though a graph driver cannot export single layers. As root it reads the engine's folder;
// deploy is only in the docker group, as CI runners are, and has the engine read it.
func TestPushFromLocalEngine(t *testing.T) {
	for _, c := range []struct{ host, user, told string }{
		{"h3", "root", "from the engine's folder"},
		{"h3", "deploy", "through the engine"},
		{"h4", "root", "containerd store"},
	} {
		name := c.host + "-" + c.user
		t.Run(name, func(t *testing.T) {
			ctl := controller(t, c.host)
			for _, v := range []string{"v1", "v2"} {
				s := pushSpec(v)
				s.Ref = name + ":" + v
				s.Layers = []images.Layer{{Name: name, Size: 24 << 20, Files: 24}}
				loadInto(t, ctl, imageOf(t, s))
			}
			run := func(v string) string {
				out, err := ctl.Exec(t.Context(), fmt.Sprintf("su %s -c 'cd && ship push docker-daemon:%s:%s h1 h2 --json 2>&1'", c.user, name, v))
				if err != nil {
					t.Fatalf("push %s: %v: %s", v, err, out)
				}
				return out
			}
			wants(t, run("v1"), c.told)
			wants(t, run("v2"), `"layers_sent":1`, c.told)
			wants(t, run("v2"), `"bytes":0`)
			if out, err := ctl.Exec(t.Context(), "docker ps -aq --filter label=ship.read"); err != nil || out != "" {
				t.Errorf("containers left: %q %v", out, err)
			}
		})
	}
}

// controller makes a host one, for root and for deploy, with the program in their PATH.
func controller(t *testing.T, name string) *lab.Host {
	t.Helper()
	h := world.lab.Host(name)
	if err := h.Authorize(t.Context()); err != nil {
		t.Fatal(err)
	}
	install := h.Command(t.Context(), "sh", "-c", `set -e
		cat >/usr/local/bin/ship.new && chmod 755 /usr/local/bin/ship.new && mv /usr/local/bin/ship.new /usr/local/bin/ship
		mkdir -p /home/deploy/.ssh
		cp /root/.ssh/id_ed25519 /root/.ssh/known_hosts /home/deploy/.ssh/
		sed s,/root/,/home/deploy/,g /root/.ssh/config >/home/deploy/.ssh/config
		chown -R deploy /home/deploy/.ssh && chmod -R go= /home/deploy/.ssh`)
	install.Stdin = open(t, world.bin)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("make %s a controller: %v: %s", name, err, out)
	}
	return h
}

// loadInto loads an image into a host's engine, not through the program.
func loadInto(t *testing.T, h *lab.Host, image string) {
	t.Helper()
	load := h.Command(t.Context(), "sh", "-c", "docker load -q")
	load.Stdin = open(t, strings.TrimPrefix(image, "docker-archive:"))
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("load: %v: %s", err, out)
	}
}

// TestBigLayerInLittleMemory: nothing is held in memory, so 2 GB need no more of it than 2 MB.
func TestBigLayerInLittleMemory(t *testing.T) {
	archive := bigArchive(t, 2<<30)
	cmd := command(t, "push", "docker-archive:"+archive, "h3", "--tag", "big:v1")
	if o := finishWithin(t, cmd, 200<<20); o.code != 0 {
		t.Fatal(o)
	}
	if _, err := world.lab.Host("h3").Exec(t.Context(), "docker rmi big:v1"); err != nil {
		t.Error(err)
	}
}

// bigArchive is a docker-archive with one plain layer of size bytes.
func bigArchive(t *testing.T, size int64) string {
	t.Helper()
	layer := func() io.Reader {
		var head bytes.Buffer
		tw := tar.NewWriter(&head)
		if err := tw.WriteHeader(&tar.Header{Name: "big", Mode: 0o644, Size: size}); err != nil {
			t.Fatal(err)
		}
		block := make([]byte, 1<<20)
		_, _ = rand.NewChaCha8([32]byte{7}).Read(block)
		return io.MultiReader(&head, io.LimitReader(&repeated{block: block}, size), bytes.NewReader(make([]byte, 1024)))
	}
	sum := sha256.New()
	length, err := io.Copy(sum, layer())
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`{"architecture":%q,"os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%x"]}}`, runtime.GOARCH, sum.Sum(nil))
	path := filepath.Join(world.dir, "big.tar")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(path) })
	tw := tar.NewWriter(f)
	for _, e := range []struct {
		name string
		size int64
		r    io.Reader
	}{
		{"layer.tar", length, layer()},
		{"config.json", int64(len(config)), strings.NewReader(config)},
		{"manifest.json", 0, strings.NewReader(`[{"Config":"config.json","RepoTags":["big:v1"],"Layers":["layer.tar"]}]`)},
	} {
		if e.size == 0 {
			e.size = e.r.(*strings.Reader).Size()
		}
		if err := tw.WriteHeader(&tar.Header{Name: e.name, Mode: 0o644, Size: e.size}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(tw, e.r); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// repeated is one block over and over, so that 2 GB need not be made up.
type repeated struct {
	block []byte
	at    int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.block[r.at:])
	r.at = (r.at + n) % len(r.block)
	return n, nil
}

func TestPushSources(t *testing.T) {
	img, err := images.App(t.Context(), world.dir, images.Spec{Ref: "sources:v1", Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	layout, archive := filepath.Join(dir, "layout"), filepath.Join(dir, "oci.tar")
	if err := img.OCILayout(layout); err != nil {
		t.Fatal(err)
	}
	if err := img.OCIArchive(archive); err != nil {
		t.Fatal(err)
	}
	for _, src := range []string{"oci:" + layout, "oci-archive:" + archive, layout, archive} {
		p := push(t, src, "deploy@h2", "--tag", "sources:v1")
		if len(p.Hosts) != 1 || p.Hosts[0].Error != "" {
			t.Errorf("%s: %+v", src, p)
		}
	}
}
