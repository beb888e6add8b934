package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestKilled kills the proxy at a hundred moments of a series of commits. What was acknowledged is there afterwards;
// what was not may be.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	apps := []*app{newApp(t, "v0"), newApp(t, "v1")}
	acked, gen := int64(0), int64(0)
	for round := range 12 {
		p := startProcess(t, dir)
		if acked > 0 {
			st, err := p.Status(t.Context())
			if err != nil || len(st.Services) != 1 || len(st.Bad) != 0 {
				t.Fatalf("%+v, %v", st, err)
			}
			if s := st.Services[0]; s.Generation < acked || s.Generation > gen || s.Active.Release != fmt.Sprint("v", s.Generation%2) {
				t.Fatalf("acknowledged %d, asked for %d, there is %+v", acked, gen, s)
			}
			if resp, b := p.get("/"); resp.StatusCode != 200 || b != fmt.Sprint("v", st.Services[0].Generation%2) {
				t.Fatalf("serves %d %q", resp.StatusCode, b)
			}
		}
		time.AfterFunc(time.Duration(20+round*7)*time.Millisecond, func() { _ = p.cmd.Process.Kill() })
		for {
			gen++
			if _, err := p.tryDeploy(Service{Name: "a"}, apps[gen%2].Target, gen); err != nil {
				break
			}
			acked = gen
		}
		p.kill()
	}
	if acked == 0 {
		t.Error("nothing was ever acknowledged")
	}
}

func TestRestartKeepsUndo(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, dir)
	one, two := newApp(t, "one"), newApp(t, "two")
	p.deploy(Service{Name: "a", Hosts: []string{"a.example"}}, one.Target, 1)
	p.deploy(Service{Name: "a"}, two.Target, 2)
	p.deploy(Service{Name: "gone", Hosts: []string{"gone.example"}}, two.Target, 5)
	if err := p.Remove(t.Context(), "gone", 6); err != nil {
		t.Fatal(err)
	}
	p.kill()
	p = startProcess(t, dir)
	if err := p.Undo(t.Context(), "a", 2); err != nil {
		t.Fatal(err)
	}
	if _, b := p.get("/", "Host", "a.example"); b != "one" {
		t.Errorf("serves %q", b)
	}
	if resp, _ := p.get("/", "Host", "b.example"); resp.StatusCode != 404 {
		t.Errorf("the settings are not those of before: %d", resp.StatusCode)
	}
	var stale *StaleError
	if _, err := p.tryDeploy(Service{Name: "gone"}, two.Target, 5); !errors.As(err, &stale) {
		t.Errorf("the removed service forgot its generation: %v", err)
	}
	p.kill()
	p = startProcess(t, dir)
	if err := p.Undo(t.Context(), "a", 2); err != nil { // once more, after a restart
		t.Fatal(err)
	}
	if _, b := p.get("/", "Host", "a.example"); b != "one" {
		t.Errorf("serves %q", b)
	}
}

// TestBrokenState breaks the files of three services in different ways.
func TestBrokenState(t *testing.T) {
	dir := t.TempDir()
	at := func(o *Options) { o.StateDir = dir }
	g := start(t, at)
	a := newApp(t, "v1")
	for _, s := range []string{"zero", "torn", "both", "fine", "alien"} {
		g.deploy(Service{Name: s, Hosts: []string{s + ".example"}}, a.Target, 3)
	}
	g.stop()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fine, err := os.ReadFile(filepath.Join(dir, "fine.json"))
	if err != nil {
		t.Fatal(err)
	}
	write("zero.json", "")
	write("torn.json", string(fine[:100]))
	write("both.json", "{}")
	write("both.json.bak", string(fine)+"x")
	write("alien.json", string(fine)) // another service's: two would serve one route
	write("alien.json.bak", string(fine))
	write("fine.json.new", "left by a crash")
	g = start(t, at)
	st, err := g.Status(t.Context())
	if err != nil || len(st.Services) != 3 || len(st.Bad) != 2 || st.Bad["both"] == "" || !strings.Contains(st.Bad["alien"], "service fine") {
		t.Errorf("%+v, %v", st, err)
	}
	for host, want := range map[string]int{"zero": 200, "torn": 200, "fine": 200, "both": 404, "alien": 404} {
		if resp, _ := g.get("/", "Host", host+".example"); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", host, resp.StatusCode, want)
		}
	}
	g.deploy(Service{Name: "both", Hosts: []string{"both.example"}}, a.Target, 4)
	if err := g.Remove(t.Context(), "alien", 4); err != nil {
		t.Error(err)
	}
	if st, _ := g.Status(t.Context()); len(st.Bad) != 0 || len(st.Services) != 4 {
		t.Errorf("mended: %+v", st)
	}
}

// TestDiskFull has the state on a disk of its own.
func TestDiskFull(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	at := func(o *Options) { o.StateDir = filepath.Join(disk, "state") }
	g := start(t, at)
	one, two := newApp(t, "one"), newApp(t, "two")
	g.deploy(Service{Name: "a"}, one.Target, 1)
	_ = os.WriteFile(filepath.Join(disk, "filler"), make([]byte, 64<<10), 0o600) // to the brim
	_, err := g.tryDeploy(Service{Name: "a"}, two.Target, 2)
	var refused *refusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("commit: %v", err)
	}
	if err := g.Undo(t.Context(), "a", 1); err == nil {
		t.Error("undo is acknowledged")
	}
	if err := g.Remove(t.Context(), "a", 2); err == nil {
		t.Error("remove is acknowledged")
	}
	if _, b := g.get("/"); b != "one" {
		t.Errorf("serves %q", b)
	}
	g.stop()
	g = start(t, at)
	if _, b := g.get("/"); b != "one" {
		t.Errorf("after a restart: %q", b)
	}
	if err := os.Remove(filepath.Join(disk, "filler")); err != nil {
		t.Fatal(err)
	}
	g.deploy(Service{Name: "a"}, two.Target, 2)
	if _, b := g.get("/"); b != "two" {
		t.Errorf("with space again: %q", b)
	}
}

func TestNoFilesAreLeft(t *testing.T) {
	p := startProcess(t, t.TempDir())
	apps := []*app{newApp(t, "v0"), newApp(t, "v1")}
	var before int
	for gen := range int64(210) {
		p.deploy(Service{Name: "a"}, apps[gen%2].Target, gen+1)
		p.get("/")
		if gen == 9 {
			before = p.files()
		}
	}
	eventually(t, "no more files are open than before", func() bool { return p.files() <= before+4 })
}

func TestStateFolder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), Options{StateDir: file}); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("%v", err)
	}
	g := start(t)
	g.deploy(Service{Name: "a"}, newApp(t, "v1").Target, 1)
	for path, want := range map[string]os.FileMode{g.dir: 0o700 | os.ModeDir, filepath.Join(g.dir, "a.json"): 0o600, g.socket: 0o600 | os.ModeSocket} {
		if st, err := os.Stat(path); err != nil || st.Mode() != want {
			t.Errorf("%s: %v, %v", path, st, err)
		}
	}
	if err := Run(t.Context(), Options{HTTPAddr: g.addr, StateDir: g.dir, Socket: g.socket}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second proxy on the same port: %v", err)
	}
	if _, err := g.Status(t.Context()); err != nil {
		t.Errorf("it took the first one's socket: %v", err)
	}
}

// TestConcurrentSaves of different services share a folder.
func TestConcurrentSaves(t *testing.T) {
	s, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			name := fmt.Sprint("s", n)
			for gen := range int64(20) {
				if err := s.save(name, record{Generation: gen, Active: &placed{Service: Service{Name: name}, Target: Target{ID: "x", Address: "127.0.0.1:1"}}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	got, bad, err := s.load()
	if err != nil || len(got) != 8 || len(bad) != 0 || got["s3"].Generation != 19 {
		t.Errorf("%v, %v, %v", got, bad, err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"generation":1,"active":{"service":{"name":"a","health":{"path":"/up"}},"target":{"id":"x","address":"127.0.0.1:80"}}}`))
	f.Add([]byte(`{"generation":1,"active":{"service":{"name":"a","tls":{"hsts":"1h0m0s"}},"target":{"id":"x","address":"127.0.0.1:80"}}}`))
	f.Add([]byte(`{"generation":1,"active":null,"undone":true}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			if r != (record{}) {
				t.Errorf("%v, and yet %+v", err, r)
			}
			return
		}
		s, err := openStore(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		name := "a"
		if r.Active != nil {
			name = r.Active.Service.Name
		}
		if err := s.save(name, r); err != nil {
			t.Fatal(err)
		}
		again, err := s.read(name, "")
		if err != nil || asText(again) != asText(r) {
			t.Errorf("%s became %s, %v", asText(r), asText(again), err)
		}
	})
}

// asText is a record by its values, not by where they lie.
func asText(r record) string {
	b, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
