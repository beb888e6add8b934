package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ship/internal/docker"
	"ship/internal/event"
	"ship/layers"
)

// threeLayers are worth three loads.
func threeLayers(name string) []testLayer {
	return []testLayer{{name: name + "-1", size: 9 << 20}, {name: name + "-2", size: 10 << 20}, {name: name + "-3", size: 11 << 20}}
}

// TestPushResume cuts the link in the third load; the next run sends only the rest, and leaves nothing else behind.
func TestPushResume(t *testing.T) {
	src := openImage(t, threeLayers("resume")...)
	p := newPusher(t, "resume:v1")
	var work sync.WaitGroup
	for _, h := range fleet(t, everyHost()...) {
		work.Go(func() {
			h.cut.Store(24 << 20)
			begin := time.Now()
			results, err := Push(t.Context(), []Host{h.Host}, src, p.opt)
			var on *HostError
			if !errors.As(err, &on) || on.Step != "send" {
				t.Errorf("cut: %v", err)
			}
			t.Logf("%s: %v after %s", h.Name, err, time.Since(begin))
			if r := results[0]; r.Sent == 0 || r.Sent == 3 {
				t.Errorf("cut: %+v", r)
			}
			h.cut.Store(0)
			if left := h.parts(t); len(left) == 0 {
				t.Errorf("%s: no part is left", h.Name)
			}
			h.lacks(t, "resume:v1")
			r := p.push(t, src, h)[0]
			if r.Sent+results[0].Sent != 3 || r.Held != results[0].Sent || r.Bytes > 25<<20 {
				t.Errorf("resume: %+v after %+v", r, results[0])
			}
			h.saved(t, "resume:v1", imageOf(t, src))
		})
	}
	work.Wait()
}

// TestPushCancel cancels at several moments; nothing is left on any host.
func TestPushCancel(t *testing.T) {
	src := openImage(t, threeLayers("cancel")...)
	p := newPusher(t, "cancel:v1")
	at := map[string]func(event.Event) bool{
		"asking":          func(e event.Event) bool { return e.Phase == "ask" },
		"first bytes":     func(e event.Event) bool { return e.Type == event.Progress && e.Phase == "send" },
		"first part":      func(e event.Event) bool { return e.Text == "loaded" },
		"last bytes":      func(e event.Event) bool { return e.Phase == "send" && e.Done > 0 && e.Done >= e.Total },
		"before the name": func(e event.Event) bool { return e.Phase == "verify" },
	}
	for name, moment := range at {
		t.Run(name, func(t *testing.T) {
			var work sync.WaitGroup
			for _, h := range fleet(t, everyHost()...) {
				work.Go(func() { cancelAt(t, h, src, p.opt, moment) })
			}
			work.Wait()
		})
	}
}

func cancelAt(t *testing.T, h *target, src layers.Source, opt Options, moment func(event.Event) bool) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the test cancels")
	opt.Emit = func(e event.Event) {
		if e.Host != "" && moment(e) {
			cancel(stop)
		}
	}
	begin := time.Now()
	_, err := Push(ctx, []Host{h.Host}, src, opt)
	if !errors.Is(err, stop) {
		t.Errorf("%s: error %v", h.Name, err)
	}
	if took := time.Since(begin); took > abortGrace {
		t.Errorf("%s: took %s", h.Name, took)
	}
	if left := h.parts(t); len(left) > 0 {
		t.Errorf("%s: temporary tags are left: %v", h.Name, left)
	}
	h.lacks(t, "cancel:v1")
}

// TestPushWrongBytes: the source changes after it was opened.
func TestPushWrongBytes(t *testing.T) {
	hosts := fleet(t, everyHost()...)
	for _, z := range []layers.Compression{layers.Plain, layers.Gzip} {
		t.Run("stored as "+string(z), func(t *testing.T) {
			of := threeLayers("wrong" + string(z))
			of[1].z = z
			dir := writeImage(t, of...)
			src := openLayout(t, dir)
			img := imageOf(t, src)
			damage(t, filepath.Join(dir, "blobs/sha256", img.Layers[1].Blob.Digest.Hex()))
			results, err := Push(t.Context(), hostsOf(hosts), src, newPusher(t, "wrong:v1").opt)
			if err == nil {
				t.Fatal("no error")
			}
			for i, r := range results {
				var on *HostError
				if !errors.As(r.Err, &on) || on.Step != "read" || on.Hint() == "" {
					t.Errorf("%s: %v", r.Host, r.Err)
				}
				hosts[i].lacks(t, "wrong:v1")
				if left := hosts[i].parts(t); len(left) > 0 {
					t.Errorf("%s: temporary tags are left: %v", r.Host, left)
				}
			}
		})
	}
}

// damage changes one byte in the middle of a file.
func damage(t testing.TB, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	b[len(b)/2] ^= 1
	must(t, os.WriteFile(file, b, 0o644))
}

func TestPushDiskFull(t *testing.T) {
	hosts := fleet(t, tiny, tinyCtr)
	// Zeros: small on the wire, too large once unpacked.
	src := openImage(t, testLayer{name: "full-1", size: 9 << 20}, testLayer{name: "full-2", size: 200 << 20, zero: true})
	p := newPusher(t, "full:v1")

	results, err := Push(t.Context(), hostsOf(hosts), src, p.opt)
	if err == nil {
		t.Fatal("no error")
	}
	for _, r := range results {
		var refused *PreflightError
		if !errors.As(r.Err, &refused) || !strings.Contains(refused.Cause, "disk too small") || refused.Hint() == "" || r.Sent != 0 {
			t.Errorf("preflight: %+v", r)
		}
	}

	p.opt.DiskFactor = -1
	results, err = Push(t.Context(), hostsOf(hosts), src, p.opt)
	if err == nil {
		t.Fatal("no error")
	}
	for i, r := range results {
		var on *HostError
		if !errors.Is(r.Err, ErrDiskFull) || !errors.As(r.Err, &on) || on.Step != "load" || on.Hint() == "" {
			t.Errorf("load: %+v", r)
		}
		if left := hosts[i].parts(t); len(left) > 0 {
			t.Errorf("%s: temporary tags are left: %v", r.Host, left)
		}
		hosts[i].lacks(t, "full:v1")
	}
	p.push(t, openImage(t, testLayer{name: "full-3", size: 20 << 20}), hosts...) // the room is there again
}

func TestPushFrozen(t *testing.T) {
	hosts := fleet(t, graph20, store28, graph28)
	frozen := hosts[2]
	p := newPusher(t, "frozen:v1")
	p.opt.Silence = 4 * time.Second
	var once sync.Once
	p.events.on = func(e event.Event) {
		if e.Host == frozen.Name && e.Text == "loaded" {
			once.Do(func() { must(t, frozen.lab.Freeze(context.WithoutCancel(t.Context()))) })
		}
	}
	src := openImage(t, threeLayers("frozen")...)
	begin := time.Now()
	results, err := Push(t.Context(), hostsOf(hosts), src, p.opt)
	took := time.Since(begin)
	must(t, frozen.lab.Thaw(t.Context()))
	var stalled *StalledError
	if !errors.As(err, &stalled) || took > 15*time.Second {
		t.Errorf("after %s: %v", took, err)
	}
	for _, r := range results {
		if (r.Err == nil) != (r.Host != frozen.Name) {
			t.Errorf("%+v", r)
		}
	}
	p.opt.Silence = 20 * time.Second
	if r := p.push(t, src, frozen)[0]; r.Held == 0 {
		t.Errorf("thawed: %+v", r)
	}
}

// TestPushAtOnce: several pushes of one image to the same hosts, from spools of their own.
func TestPushAtOnce(t *testing.T) {
	hosts := fleet(t, everyHost()...)
	src := openImage(t, threeLayers("at-once")...)
	var work sync.WaitGroup
	for n := range 3 {
		p := newPusher(t, fmt.Sprintf("at-once:v%d", n%2))
		work.Go(func() {
			time.Sleep(time.Duration(n) * 300 * time.Millisecond)
			if _, err := Push(t.Context(), hostsOf(hosts), src, p.opt); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	for _, h := range hosts {
		h.saved(t, "at-once:v0", imageOf(t, src))
		h.saved(t, "at-once:v1", imageOf(t, src))
		if left := h.parts(t); len(left) > 0 {
			t.Errorf("%s: temporary tags are left: %v", h.Name, left)
		}
	}
}

// TestPushDropped: while a push goes on, somebody removes what it counts on.
func TestPushDropped(t *testing.T) {
	for _, h := range fleet(t, everyHost()...) {
		t.Run(h.Name, func(t *testing.T) {
			of := threeLayers("dropped")
			p := newPusher(t, "dropped:base")
			p.push(t, openImage(t, of[0]), h)
			var once sync.Once
			p.events.on = func(e event.Event) {
				if e.Text == "sending" {
					once.Do(func() { must(t, h.engine.RemoveImage(context.WithoutCancel(t.Context()), "dropped:base")) })
				}
			}
			p.opt.Tag = "dropped:v1"
			src := openImage(t, of...)
			r := p.push(t, src, h)[0]
			if r.Held != 1 || r.Sent < 3 {
				t.Errorf("%+v", r)
			}
			h.saved(t, "dropped:v1", imageOf(t, src))
		})
	}
}

// TestPushReadsOnce: however many hosts there are, a layer is read and compressed once.
func TestPushReadsOnce(t *testing.T) {
	p := newPusher(t, "once:v1")
	src := openImage(t, threeLayers("once")...)
	p.push(t, src, fleet(t, store26, graph28, store28)...)
	for _, l := range imageOf(t, src).Layers {
		read := func(e event.Event) bool { return e.Phase == "read" && e.Item == l.DiffID.Short() && e.Done == e.Total }
		if n := p.events.count(read); n != 1 {
			t.Errorf("layer %s was read %d times", l.DiffID.Short(), n)
		}
	}
}

// TestPushTidies: a successful push removes what broken ones left, of this image at once, of others when it is old.
func TestPushTidies(t *testing.T) {
	src := openImage(t, testLayer{name: "tidy", size: 1000})
	config := imageOf(t, src).ConfigDigest()
	other := layers.DigestOf([]byte("other"))
	at := func(d layers.Digest, age time.Duration) string {
		return run(fmt.Sprintf("%08x000001", time.Now().Add(-age).Unix())).tag(d, 1)
	}
	young := at(other, time.Hour)
	for _, h := range fleet(t, everyHost()...) {
		p := newPusher(t, "tidy:old")
		p.push(t, openImage(t, testLayer{name: "tidy-old", size: 1000}), h)
		for _, tag := range []string{young, at(config, 0), at(other, 25*time.Hour)} {
			must(t, tagImage(t.Context(), h.engine, "tidy:old", tag))
		}
		p.opt.Tag = "tidy:v1"
		if _, err := Push(t.Context(), []Host{h.Host}, src, p.opt); err != nil {
			t.Fatal(err)
		}
		if left := h.parts(t); len(left) != 1 || left[0] != young {
			t.Errorf("%s: left: %v", h.Name, left)
		}
		must(t, h.engine.RemoveImage(t.Context(), young))
	}
}

// TestPushMovesTag: the image that had the tag before stays, for who wants to go back.
func TestPushMovesTag(t *testing.T) {
	hosts := fleet(t, everyHost()...)
	p := newPusher(t, "moved:latest")
	before := p.push(t, openImage(t, testLayer{name: "moved-1", size: 1000}), hosts...)
	after := p.push(t, openImage(t, testLayer{name: "moved-2", size: 1000}), hosts...)
	for i, h := range hosts {
		if got, err := h.engine.InspectImage(t.Context(), "moved:latest"); err != nil || got.ID != after[i].ImageID {
			t.Errorf("%s: tag names %s, want %s: %v", h.Name, got.ID, after[i].ImageID, err)
		}
		if _, err := h.engine.InspectImage(t.Context(), before[i].ImageID); err != nil {
			t.Errorf("%s: the image before is gone: %v", h.Name, err)
		}
	}
}

// TestPushWrongArchitecture refuses before anything is sent.
func TestPushWrongArchitecture(t *testing.T) {
	src, err := layers.Build(layers.BuildConfig{Platform: layers.Platform{OS: "linux", Arch: "riscv64"}}, nil)
	must(t, err)
	h := fleet(t, graph28)[0]
	results, err := Push(t.Context(), []Host{h.Host}, src, newPusher(t, "arch:v1").opt)
	var refused *PreflightError
	if !errors.As(err, &refused) || !strings.Contains(refused.Cause, "riscv64") || refused.Hint() == "" || results[0].Bytes != 0 {
		t.Errorf("error %v", err)
	}
	h.lacks(t, "arch:v1")
}

func TestAsk(t *testing.T) {
	of := threeLayers("ask")
	src := openImage(t, of...)
	img := imageOf(t, src)
	p := newPusher(t, "ask:v1")
	for _, h := range fleet(t, everyHost()...) {
		ask := func() Holding {
			held, err := Ask(t.Context(), h.Host, img)
			must(t, err)
			if left := h.parts(t); len(left) > 0 {
				t.Errorf("%s: temporary tags are left: %v", h.Name, left)
			}
			return held
		}
		if held := ask(); held.Complete || len(held.Held.Missing(img)) != 3 || held.Free <= 0 {
			t.Errorf("%s: nothing pushed: %+v", h.Name, held)
		}
		p.push(t, openImage(t, of[:2]...), h)
		if held := ask(); held.Complete || len(held.Held.Missing(img)) != 1 || held.Info.ContainerdStore != isStore(h.Name) {
			t.Errorf("%s: two layers pushed: %+v", h.Name, held)
		}
		p.push(t, src, h)
		if held := ask(); !held.Complete {
			t.Errorf("%s: all pushed: %+v", h.Name, held)
		}
	}
}

// TestPushBadOptions needs no host.
func TestPushBadOptions(t *testing.T) {
	src := openImage(t, testLayer{name: "x", size: 1})
	for _, tag := range []string{"", "Shop:v1", "shop@sha256:" + strings.Repeat("a", 64)} {
		if _, err := Push(t.Context(), nil, src, Options{Tag: tag}); err == nil {
			t.Errorf("tag %q: no error", tag)
		}
	}
}

// TestPushNoEngine: the host is there, its engine is not.
func TestPushNoEngine(t *testing.T) {
	h := fleet(t, graph28)[0]
	h.engine.Close()
	_, err := Push(t.Context(), []Host{h.Host}, openImage(t, testLayer{name: "x", size: 1}), newPusher(t, "x:v1").opt)
	var on *HostError
	if !errors.As(err, &on) || on.Step != "ask" || on.Host != graph28 || errors.Is(err, docker.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}
