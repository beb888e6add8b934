package transfer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ship/internal/docker"
	"ship/internal/event"
	"ship/internal/shiptest/lab"
	"ship/internal/shiptest/leak"
	"ship/internal/sshx"
	"ship/layers"
)

func TestMain(m *testing.M) {
	lab.Init()
	os.Exit(leak.Main(withFleet{m}))
}

// withFleet takes the fleet down after the tests that brought it up.
type withFleet struct{ *testing.M }

func (m withFleet) Run() int {
	code := m.M.Run()
	for _, h := range links {
		h.close()
	}
	if theLab != nil {
		if err := theLab.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

var (
	labOnce sync.Once
	theLab  *lab.Lab
	labErr  error

	linksMu sync.Mutex
	links   = map[string]*target{} // that tests share; who breaks a link connects by itself
)

// The hosts of the fleet, by engine and image store.
const (
	graph20 = "h1"
	store26 = "h2"
	graph28 = "h3"
	store28 = "h4"
	tiny    = "h5" // graph driver of 28.5 on a small disk
	tinyCtr = "h6" // containerd store of 28.5 on a small disk
)

func everyHost() []string { return []string{graph20, store26, graph28, store28} }

func isStore(name string) bool { return name == store26 || name == store28 || name == tinyCtr }

func bringUp(t testing.TB) *lab.Lab {
	t.Helper()
	labOnce.Do(func() {
		theLab, labErr = lab.Up(context.Background(), lab.Options{Log: os.Stderr, Hosts: []lab.HostOptions{
			{Engine: "bookworm"}, {Engine: "trixie", ContainerdStore: true}, {Engine: "sid"}, {Engine: "sid", ContainerdStore: true},
			{Engine: "sid", Disk: "180M"}, {Engine: "sid", ContainerdStore: true, Disk: "180M"},
		}})
	})
	must(t, labErr)
	return theLab
}

// target is a host of the fleet as a push sees it, through one SSH connection, and what the tests do to it.
type target struct {
	Host
	lab    *lab.Host
	ssh    *sshx.Client
	engine *docker.Client
}

// fleet returns hosts by name.
func fleet(t testing.TB, names ...string) []*target {
	t.Helper()
	l := bringUp(t)
	linksMu.Lock()
	defer linksMu.Unlock()
	var out []*target
	for _, name := range names {
		if links[name] == nil {
			links[name] = dial(t, l.Host(name), 0)
		}
		out = append(out, links[name])
	}
	return out
}

// unshare drops the shared link to a host before a test breaks it.
func unshare(name string) {
	linksMu.Lock()
	defer linksMu.Unlock()
	if h := links[name]; h != nil {
		h.close()
		delete(links, name)
	}
}

// connect opens a link of its own to a host, which is known to be lost after 6 s.
func connect(t testing.TB, on *lab.Host) *target {
	t.Helper()
	h := dial(t, on, 2*time.Second)
	t.Cleanup(h.close)
	return h
}

func dial(t testing.TB, on *lab.Host, keepAlive time.Duration) *target {
	t.Helper()
	o := sshx.Options{ConfigFile: bringUp(t).SSHConfig(), KeepAlive: keepAlive, ConnectTimeout: time.Minute}
	c, err := sshx.Dial(t.Context(), on.Name, o)
	must(t, err)
	h := &target{lab: on, ssh: c}
	h.engine = docker.New(func(ctx context.Context) (net.Conn, error) {
		return c.Conn(ctx, sshx.Command{Argv: []string{"docker", "system", "dial-stdio"}})
	})
	h.Host = Host{Name: on.Name, Engine: h.engine, Free: h.free}
	return h
}

func (h *target) close() {
	h.engine.Close()
	_ = h.ssh.Close() // never fails
}

func hostsOf(targets []*target) []Host {
	var out []Host
	for _, h := range targets {
		out = append(out, h.Host)
	}
	return out
}

func (h *target) free(ctx context.Context, dir string) (int64, error) {
	res, err := h.ssh.Run(ctx, sshx.Command{Script: `df -Pk "$1" | awk 'END { print $4 }'`, Argv: []string{dir}})
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(res.Stdout)), 10, 64)
	return n << 10, err
}

// parts are the temporary tags of the image on the host. Those of others may come late, from a link that a test cut.
func (h *target) parts(t testing.TB, src layers.Source) []string {
	t.Helper()
	list, err := h.engine.ListImagesNamed(context.WithoutCancel(t.Context()), partRepo)
	must(t, err)
	var out []string
	for _, m := range list {
		for _, tag := range m.RepoTags {
			if strings.Contains(tag, imageOf(t, src).ConfigDigest().Short()) {
				out = append(out, tag)
			}
		}
	}
	return out
}

// lacks fails the test if the host has an image of that name.
func (h *target) lacks(t testing.TB, ref string) {
	t.Helper()
	if info, err := h.engine.InspectImage(t.Context(), ref); !errors.Is(err, docker.ErrNotFound) {
		t.Errorf("%s has %s: %+v, %v", h.Name, ref, info, err)
	}
}

// saved checks what `docker save` of ref gives on the host against img, byte by byte.
func (h *target) saved(t testing.TB, ref string, img *layers.Image) {
	t.Helper()
	r, err := h.engine.SaveImage(t.Context(), ref)
	must(t, err)
	file := t.TempDir() + "/saved.tar"
	f, err := os.Create(file)
	must(t, err)
	_, err = f.ReadFrom(r)
	must(t, errors.Join(err, r.Close(), f.Close()))
	src, err := layers.Open(t.Context(), layers.Ref{Transport: layers.TransportDockerArchive, Path: file}, nil, layers.OpenOptions{CacheDir: t.TempDir()})
	must(t, err)
	defer src.Close()
	got, err := src.Image(t.Context(), img.Platform)
	must(t, err)
	if got.ConfigDigest() != img.ConfigDigest() {
		t.Errorf("%s: saved config %s, want %s", h.Name, got.ConfigDigest(), img.ConfigDigest())
	}
	if !slices.Equal(got.DiffIDs(), img.DiffIDs()) {
		t.Fatalf("%s: saved layers %v, want %v", h.Name, got.DiffIDs(), img.DiffIDs())
	}
	for i, l := range got.Layers {
		if n, err := layerSum(t, got, i); err != nil || n != l.DiffID {
			t.Errorf("%s: saved layer %d is %s, want %s: %v", h.Name, i, n, l.DiffID, err)
		}
	}
}

// pusher is a push with what most tests want.
type pusher struct {
	events *recorder
	opt    Options
}

func newPusher(t testing.TB, tag string) *pusher {
	t.Helper()
	p := &pusher{events: &recorder{}}
	spool, err := layers.OpenSpool(layers.SpoolOptions{Dir: t.TempDir(), Emit: p.events.add})
	must(t, err)
	t.Cleanup(func() { must(t, spool.Close()) })
	p.opt = Options{Tag: tag, Spool: spool, Emit: p.events.add, small: 2 << 20}
	return p
}

// push pushes and fails the test on any error.
func (p *pusher) push(t testing.TB, src layers.Source, targets ...*target) []Result {
	t.Helper()
	begin := time.Now()
	results, err := Push(t.Context(), hostsOf(targets), src, p.opt)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		t.Logf("%s: %d sent, %d held, %d bytes, %s", r.Host, r.Sent, r.Held, r.Bytes, time.Since(begin).Round(time.Millisecond))
		if left := targets[i].parts(t, src); len(left) > 0 {
			t.Errorf("%s: temporary tags are left: %v", r.Host, left)
		}
	}
	return results
}

// recorder keeps events.
type recorder struct {
	mu   sync.Mutex
	list []event.Event
	on   func(event.Event)
}

func (r *recorder) add(e event.Event) {
	r.mu.Lock()
	r.list = append(r.list, e)
	on := r.on
	r.mu.Unlock()
	if on != nil {
		on(e)
	}
}

func (r *recorder) count(want func(event.Event) bool) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.list {
		if want(e) {
			n++
		}
	}
	return n
}
