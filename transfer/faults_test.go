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
	"ship/internal/shiptest/lab"
	"ship/internal/sshx"
	"ship/layers"
)

// threeLayers are worth three loads, and every engine takes them as they are stored.
func threeLayers(name string) []testLayer {
	return []testLayer{
		{name: name + "-1", size: 3 << 20, z: layers.Gzip}, {name: name + "-2", size: 4 << 20, z: layers.Gzip}, {name: name + "-3", size: 5 << 20, z: layers.Gzip},
	}
}

// TestPushResume cuts the link in the third load; the next run sends only the rest, and leaves nothing else behind.
func TestPushResume(t *testing.T) {
	src := openImage(t, threeLayers("resume")...)
	img := imageOf(t, src)
	for _, h := range fleet(t, everyHost()...) {
		t.Run(h.Name, func(t *testing.T) {
			t.Parallel()
			unshare(h.Name)
			h := connect(t, h.lab)
			p := newPusher(t, "resume:v1")
			var once sync.Once
			p.events.on = func(e event.Event) {
				if e.Type == event.Layer && e.Text == "loaded" && e.Item == img.Layers[1].DiffID.Short() {
					once.Do(func() { must(t, h.lab.Cut(context.WithoutCancel(t.Context()))) })
				}
			}
			begin := time.Now()
			results, err := Push(t.Context(), []Host{h.Host}, src, p.opt)
			must(t, h.lab.Heal(t.Context()))
			var on *HostError
			if !errors.As(err, &on) || !errors.Is(err, sshx.ErrLinkLost) || on.Step != "send" && on.Step != "verify" {
				t.Errorf("cut: %v", err)
			}
			if r := results[0]; r.Sent < 2 || time.Since(begin) > defaultSilence {
				t.Errorf("cut: %+v after %s", r, time.Since(begin))
			}
			h = connect(t, h.lab)
			if left := h.parts(t, src); len(left) == 0 {
				t.Error("no part is left")
			}
			h.lacks(t, "resume:v1")
			// What the cut held up may still arrive, and the engine finish a load that nobody waits for.
			again, err := Push(t.Context(), []Host{h.Host}, src, p.opt)
			must(t, err)
			if r := again[0]; r.Held < 2 || r.Sent+r.Held != 3 || r.Bytes > 6<<20 {
				t.Errorf("resume: %+v after %+v", r, results[0])
			}
			h.saved(t, "resume:v1", img)
			for tries := 0; len(h.parts(t, src)) > 0 && tries < 20; tries++ {
				_, err := Push(t.Context(), []Host{h.Host}, src, p.opt)
				must(t, err)
			}
			if left := h.parts(t, src); len(left) > 0 {
				t.Errorf("temporary tags are left: %v", left)
			}
		})
	}
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
	if left := h.parts(t, src); len(left) > 0 {
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
				if left := hosts[i].parts(t, src); len(left) > 0 {
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
	src := openImage(t, testLayer{name: "full-1", size: 3 << 20}, testLayer{name: "full-2", size: 200 << 20, zero: true})
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
		if left := hosts[i].parts(t, src); len(left) > 0 {
			t.Errorf("%s: temporary tags are left: %v", r.Host, left)
		}
		hosts[i].lacks(t, "full:v1")
	}
	p.push(t, openImage(t, testLayer{name: "full-3", size: 20 << 20}), hosts...) // the room is there again
}

// TestPushFrozen: a host that freezes, and one whose engine alone does, fail in seconds; the others go on.
func TestPushFrozen(t *testing.T) {
	src := openImage(t, threeLayers("frozen")...)
	tests := map[string]struct {
		freeze, thaw func(context.Context, *lab.Host) error
		want         func(error) bool
	}{
		"the host": {func(ctx context.Context, h *lab.Host) error { return h.Freeze(ctx) },
			func(ctx context.Context, h *lab.Host) error { return h.Thaw(ctx) },
			func(err error) bool { return errors.Is(err, sshx.ErrLinkLost) || stalled(err) }},
		"its engine": {signalEngine("STOP"), signalEngine("CONT"), stalled},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			hosts := fleet(t, graph20, store28, graph28)
			unshare(graph28)
			frozen := connect(t, hosts[2].lab)
			hosts[2] = frozen
			p := newPusher(t, "frozen:v1")
			p.opt.Silence = 8 * time.Second
			var once sync.Once
			p.events.on = func(e event.Event) {
				if e.Host == frozen.Name && e.Text == "loaded" {
					once.Do(func() { must(t, tt.freeze(context.WithoutCancel(t.Context()), frozen.lab)) })
				}
			}
			begin := time.Now()
			results, err := Push(t.Context(), hostsOf(hosts), src, p.opt)
			took := time.Since(begin)
			must(t, tt.thaw(t.Context(), frozen.lab))
			if !tt.want(err) || took > 20*time.Second {
				t.Errorf("after %s: %v", took, err)
			}
			for _, r := range results {
				if (r.Err == nil) != (r.Host != frozen.Name) {
					t.Errorf("%+v", r)
				}
			}
			p.opt.Silence = 0
			frozen = connect(t, frozen.lab)
			if r := p.push(t, src, frozen)[0]; r.Held == 0 {
				t.Errorf("thawed: %+v", r)
			}
			must(t, frozen.engine.RemoveImage(t.Context(), "frozen:v1"))
		})
	}
}

func stalled(err error) bool {
	var s *StalledError
	return errors.As(err, &s)
}

func signalEngine(name string) func(context.Context, *lab.Host) error {
	return func(ctx context.Context, h *lab.Host) error {
		_, err := h.Exec(ctx, "kill -"+name+" $(cat /run/docker.pid)")
		return err
	}
}

// TestPushAtOnce: several pushes of one image to the same hosts, from spools of their own.
func TestPushAtOnce(t *testing.T) {
	hosts := fleet(t, everyHost()...)
	src := openImage(t, threeLayers("at-once")...)
	var work sync.WaitGroup
	for n := range 2 {
		p := newPusher(t, fmt.Sprintf("at-once:v%d", n))
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
		if left := h.parts(t, src); len(left) > 0 {
			t.Errorf("%s: temporary tags are left: %v", h.Name, left)
		}
	}
}

// TestPushDropped: while a push goes on, somebody removes what it counts on.
func TestPushDropped(t *testing.T) {
	for _, h := range fleet(t, everyHost()...) {
		t.Run(h.Name, func(t *testing.T) {
			t.Parallel()
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
	src := openImage(t, testLayer{name: "once-1", size: 3 << 20}, testLayer{name: "once-2", size: 2 << 20})
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
	young, stale := at(other, time.Hour), at(other, 25*time.Hour)
	for _, h := range fleet(t, everyHost()...) {
		p := newPusher(t, "tidy:old")
		p.push(t, openImage(t, testLayer{name: "tidy-old", size: 1000}), h)
		for _, tag := range []string{young, at(config, 0), stale} {
			must(t, tagImage(t.Context(), h.engine, "tidy:old", tag))
		}
		p.opt.Tag = "tidy:v1"
		if _, err := Push(t.Context(), []Host{h.Host}, src, p.opt); err != nil {
			t.Fatal(err)
		}
		if left := h.parts(t, src); len(left) > 0 {
			t.Errorf("%s: left: %v", h.Name, left)
		}
		h.lacks(t, stale)
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
	lower := openImage(t, of[:2]...)
	for _, h := range fleet(t, everyHost()...) {
		t.Run(h.Name, func(t *testing.T) {
			t.Parallel()
			p := newPusher(t, "ask:v1")
			if missing, held := h.ask(t, src); held.Complete || missing != 3 || held.Free <= 0 {
				t.Errorf("nothing pushed: %+v", held)
			}
			p.push(t, lower, h)
			if missing, held := h.ask(t, src); held.Complete || missing != 1 || held.Info.ContainerdStore != isStore(h.Name) {
				t.Errorf("two layers pushed: %+v", held)
			}
			p.push(t, src, h)
			if missing, held := h.ask(t, src); !held.Complete || missing != 0 {
				t.Errorf("all pushed: %+v", held)
			}
		})
	}
}

// ask asks the host, which must leave nothing on it.
func (h *target) ask(t *testing.T, src layers.Source) (missing int, held Holding) {
	t.Helper()
	img := imageOf(t, src)
	held, err := Ask(t.Context(), h.Host, img)
	must(t, err)
	if left := h.parts(t, src); len(left) > 0 {
		t.Errorf("temporary tags are left: %v", left)
	}
	return len(held.Held.Missing(img)), held
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
	h := connect(t, fleet(t, graph28)[0].lab)
	h.engine.Close()
	_, err := Push(t.Context(), []Host{h.Host}, openImage(t, testLayer{name: "x", size: 1}), newPusher(t, "x:v1").opt)
	var on *HostError
	if !errors.As(err, &on) || on.Step != "ask" || on.Host != graph28 || errors.Is(err, docker.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}
