package main_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"ship/internal/event"
	"ship/internal/shiptest/images"
	"ship/internal/shiptest/lab"
)

// release is a version of an image in whose large layer one file of 200 differs from version to version, and the time
// of every file.
func release(t *testing.T, name, version string) string {
	t.Helper()
	return own(t, images.Spec{Ref: name + ":" + version, Version: version,
		Layers: []images.Layer{{Name: name, Size: 24 << 20, Files: 200, Changed: 1, Dated: true, Dense: true}}})
}

// TestDelta: of a layer in which little has changed, little is sent.
func TestDelta(t *testing.T) {
	helpersPlaced(t)
	const layer = 24 << 20
	push(t, append([]string{release(t, "delta", "v1")}, trio...)...)
	// On a line as fast as this one, a patch takes longer than the layer: forget how fast it is.
	if err := os.Remove(filepath.Join(world.dir, "cache", "uplink")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	v2, v3 := release(t, "delta", "v2"), release(t, "delta", "v3")
	n := sent(t, func() { push(t, append([]string{v2}, trio...)...) })
	if n > layer*2/100+3*control {
		t.Errorf("one file of 200: %d bytes sent", n)
	}
	runs(t, "delta:v2", trio...)
	m := sent(t, func() { // the base is not at hand here: hosts tell what they have
		if o := finish(t, withCache(t, command(t, append([]string{"push", v3}, trio...)...))); o.code != 0 {
			t.Error(o)
		}
	})
	if m > layer*5/100+3*control {
		t.Errorf("one file of 200, without the base: %d bytes sent", m)
	}
	t.Logf("%d bytes sent; %d without the base here", n, m)
	runs(t, "delta:v3", trio...)
	nothingLeft(t, trio...)
}

// TestDeltaWithoutBase: an older image that is gone, or whose files are damaged on the host, costs bytes, not the run.
func TestDeltaWithoutBase(t *testing.T) {
	helpersPlaced(t)
	push(t, release(t, "broken", "v1"), "h1", "h3")
	removeImage(t, "broken:v1", "h1")
	// The graph driver of h3 finds out by itself: a file of its layer is not what its record says.
	if out, err := world.lab.Host("h3").Exec(t.Context(), `d=$(docker image inspect -f '{{json .GraphDriver.Data}}' broken:v1 | tr ',:"' '\n\n\n' | grep '/diff$' | while read d; do [ -d $d/opt/broken ] && echo $d; done | head -1)
		head -c 100K /dev/urandom >$d/opt/broken/0007`); err != nil {
		t.Fatal(err, out)
	}
	p := push(t, release(t, "broken", "v2"), "h1", "h3")
	t.Logf("%+v", p.Hosts)
	if p.Hosts[0].Bytes < 24<<20 {
		t.Errorf("there is no base on h1: %+v", p.Hosts[0])
	}
	runs(t, "broken:v2", "h1", "h3")
	nothingLeft(t, "h1", "h3")
}

// TestMovedLayer: a layer that a graph driver has under another parent is not sent again.
func TestMovedLayer(t *testing.T) {
	helpersPlaced(t)
	deps := images.Layer{Name: "moved-deps", Size: 16 << 20, Files: 20, Dense: true}
	for i, base := range []string{"moved-base1", "moved-base2"} {
		ref := fmt.Sprintf("moved:v%d", i+1)
		src := own(t, images.Spec{Ref: ref, Version: "v1", Layers: []images.Layer{{Name: base, Size: 2 << 20, Files: 2, Dense: true}, deps}})
		n := sent(t, func() { push(t, append([]string{src}, trio...)...) })
		if i == 1 && n > 2<<20*102/100+3*control {
			t.Errorf("another base: %d bytes sent", n)
		}
		runs(t, ref, trio...)
	}
	nothingLeft(t, trio...)
}

// TestResume: what an earlier run has brought to a host is not sent again, by whomever.
func TestResume(t *testing.T) {
	helpersPlaced(t)
	const size, all = 16 << 20, 19 << 20 // the layer, and the image
	for _, hosts := range [][]string{{"h1"}, {"h2", "h3"}} {
		t.Run(strings.Join(hosts, " "), func(t *testing.T) {
			src := bulk(t, "resume-"+hosts[0]+":v1", size)
			limit(t, 24*lab.Mbit)
			follow(t, command(t, append([]string{"push", src}, hosts...)...), uplinkAt(all*6/10), kill)
			var o outcome
			n := sent(t, func() { o = finish(t, withCache(t, command(t, append([]string{"push", src}, hosts...)...))) })
			if o.code != 0 || n > all*55/100 {
				t.Errorf("%d bytes sent again: %s", n, o)
			}
			t.Logf("%d of %d bytes sent again", n, all)
			runs(t, "resume-"+hosts[0]+":v1", hosts...)
		})
	}
}

// TestResumeAfterPowerLoss: chunks survive the host's crash, and are held against their digests afterwards.
func TestResumeAfterPowerLoss(t *testing.T) {
	helpersPlaced(t)
	const size, all = 16 << 20, 19 << 20 // the layer, and the image
	const chunk = 1 << 20
	h := world.lab.Host("h3")
	src := bulk(t, "outage:v1", size)
	limit(t, 24*lab.Mbit)
	follow(t, command(t, "push", src, "h3"), uplinkAt(all*6/10), func(p *os.Process) {
		if err := h.Kill(t.Context()); err != nil {
			t.Error(err)
		}
		kill(p)
	})
	if err := h.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	// One bit of what was kept is not what it was.
	if out, err := h.Exec(t.Context(), `f=$(ls -S /root/.cache/ship/chunks/*.data | head -1); printf X | dd of=$f bs=1 seek=1500000 conv=notrunc 2>&1`); err != nil {
		t.Fatal(err, out)
	}
	var o outcome
	n := sent(t, func() { o = finish(t, withCache(t, command(t, "push", src, "h3"))) })
	// Beside what was missing: the chunk that was damaged, and one that the host had not on its disk yet.
	if o.code != 0 || n > all*4/10+2*chunk+control {
		t.Errorf("%d bytes sent again: %s", n, o)
	}
	t.Logf("%d of %d bytes sent again", n, all)
	runs(t, "outage:v1", "h3")
}

// TestOddLayers: a layer without a file, and one that the source stores compressed.
func TestOddLayers(t *testing.T) {
	helpersPlaced(t)
	src := oddArchive(t)
	push(t, append([]string{src}, trio...)...)
	whole(t, "odd:v1", trio...)

	img, err := images.App(t.Context(), world.dir, images.Spec{Ref: "packed:v1", Version: "v1", Layers: []images.Layer{{Name: "packed", Size: 6 << 20, Files: 6, Dense: true}}})
	if err != nil {
		t.Fatal(err)
	}
	drop(t, "packed:v1")
	layout := filepath.Join(t.TempDir(), "layout")
	if err := img.OCILayout(layout); err != nil {
		t.Fatal(err)
	}
	o := mustShip(t, 0, append([]string{"push", "oci:" + layout, "--json"}, trio...)...)
	if strings.Contains(o.stdout, string(event.Warning)) {
		t.Error(o)
	}
	runs(t, "packed:v1", trio...)
	nothingLeft(t, trio...)
}

// oddArchive is an image of a layer between two that hold nothing.
func oddArchive(t *testing.T) string {
	t.Helper()
	var random bytes.Buffer
	w := tar.NewWriter(&random)
	content := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{11}).Read(content)
	err := w.WriteHeader(&tar.Header{Name: "odd", Mode: 0o644, Size: int64(len(content))})
	if err == nil {
		_, err = w.Write(content)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return rawArchive(t, "odd:v1", make([]byte, 1024), random.Bytes(), make([]byte, 1024))
}

// rawArchive is a docker-archive of layers as they are given.
func rawArchive(t *testing.T, ref string, plain ...[]byte) string {
	t.Helper()
	drop(t, ref)
	var diffIDs, names []string
	for i, l := range plain {
		diffIDs = append(diffIDs, fmt.Sprintf("%q", fmt.Sprintf("sha256:%x", sha256.Sum256(l))))
		names = append(names, fmt.Sprintf("%q", fmt.Sprintf("%d/layer.tar", i)))
	}
	config := fmt.Sprintf(`{"architecture":%q,"os":"linux","config":{"Cmd":["/none"]},"rootfs":{"type":"layers","diff_ids":[%s]}}`, runtime.GOARCH, strings.Join(diffIDs, ","))
	manifest := fmt.Sprintf(`[{"Config":"config.json","RepoTags":[%q],"Layers":[%s]}]`, ref, strings.Join(names, ","))
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	put := func(name string, p []byte) {
		err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(p))})
		if err == nil {
			_, err = w.Write(p)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, l := range plain {
		put(fmt.Sprintf("%d/layer.tar", i), l)
	}
	put("config.json", []byte(config))
	put("manifest.json", []byte(manifest))
	path := filepath.Join(t.TempDir(), "raw.tar")
	if err := errors.Join(w.Close(), os.WriteFile(path, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return "docker-archive:" + path
}

// whole fails unless each host can give the image back.
func whole(t *testing.T, ref string, hosts ...string) {
	t.Helper()
	for _, h := range hosts {
		if out, err := world.lab.Host(bare(h)).Exec(t.Context(), "docker save "+ref+" | tar -t | wc -l"); err != nil || out == "0\n" {
			t.Errorf("%s: %q %v", h, out, err)
		}
	}
}
