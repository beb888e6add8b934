package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"ship/internal/shiptest/images"
	"ship/layers"
	"ship/transfer/bundle"
)

// resultOf is the command's own part of the last line of --json.
func resultOf(t *testing.T, o outcome, into any) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(o.stdout), "\n")
	var last struct {
		Result struct{ Result json.RawMessage }
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(last.Result.Result, into); err != nil {
		t.Fatalf("%v: %s", err, last.Result.Result)
	}
}

// exported is the result of bundle export --json.
type exported struct {
	Files     []string
	Image     string
	Bytes     int64
	Partial   bool
	Platforms []struct {
		Hosts    []string
		Included int `json:"layers_included"`
		LeftOut  int `json:"layers_left_out"`
	}
}

func export(t *testing.T, args ...string) exported {
	t.Helper()
	var e exported
	resultOf(t, mustShip(t, 0, append([]string{"bundle", "export", "--json"}, args...)...), &e)
	return e
}

func importTo(t *testing.T, code int, args ...string) pushed {
	t.Helper()
	var p pushed
	resultOf(t, mustShip(t, code, append([]string{"bundle", "import", "--json"}, args...)...), &p)
	return p
}

func courierSpec(version string) images.Spec {
	return images.Spec{Ref: "courier:" + version, Version: "courier-" + version, Layers: []images.Layer{{Name: "courier", Size: 24 << 20, Files: 30}}}
}

// dropImages removes a repository's images from a host, and what no other image holds.
func dropImages(t *testing.T, host, repo string) {
	t.Helper()
	if out, err := world.lab.Host(host).Exec(t.Context(), "docker images -q "+repo+" | sort -u | xargs -r docker rmi -f"); err != nil {
		t.Fatalf("%s: %v: %s", host, err, out)
	}
}

// TestCourier: inventory, export and import. Only the layer that changed is on the stick; a host that has lost the
// others is told so, keeps nobody from the image, and gets it after a fresh inventory.
func TestCourier(t *testing.T) {
	v1, v2 := imageOf(t, courierSpec("v1")), imageOf(t, courierSpec("v2"))
	mustShip(t, 0, append([]string{"push", v1}, everyHost...)...)
	dir := t.TempDir()
	inventory, stick := filepath.Join(dir, "inventory.json"), filepath.Join(dir, "courier.bundle")
	mustShip(t, 0, append([]string{"hosts", "inventory", "-o", inventory}, everyHost...)...)
	checkInventory(t, inventory, v1)

	e := export(t, v2, "--for", inventory, "-o", stick)
	if len(e.Platforms) != 1 || !e.Partial || e.Platforms[0].Included != 1 || e.Platforms[0].LeftOut != 2 || !slices.Equal(e.Platforms[0].Hosts, everyHost) {
		t.Errorf("export: %+v", e)
	}
	if info, err := os.Stat(stick); err != nil || info.Size() != e.Bytes || e.Bytes > 32<<10 {
		t.Errorf("%d bytes for one small layer, %v", e.Bytes, err)
	}
	wants(t, mustShip(t, 0, "bundle", "import", "--verify", stick).stdout, "is whole", "courier:v2")

	dropImages(t, "h3", "courier")
	o := mustShip(t, 82, append([]string{"bundle", "import", stick}, everyHost...)...)
	wants(t, o.stderr, "h3: it lacks layer 1 of 3", "so does the bundle", "hint", "ship hosts inventory")
	for _, h := range []string{"h1", "h2", "h4"} {
		if out, err := world.lab.Host(h).Exec(t.Context(), "docker run --rm -d --name courier-run courier:v2 >/dev/null && docker rm -f courier-run"); err != nil {
			t.Errorf("%s: run the image: %s %v", h, out, err)
		}
	}
	wants(t, mustShip(t, 1, "push", "bundle:"+stick, "h3").stderr, "h3: read", "the bundle lacks layer", "hint", "ship hosts inventory")
	if out, _ := world.lab.Host("h3").Exec(t.Context(), "docker images -q courier"); out != "" {
		t.Errorf("h3 has %q", out)
	}

	mustShip(t, 0, append([]string{"hosts", "inventory", "-o", inventory}, everyHost...)...)
	if e = export(t, v2, "--for", inventory, "-o", stick); e.Platforms[0].Included < 2 {
		t.Errorf("export: %+v", e)
	}
	for _, h := range importTo(t, 0, append([]string{stick}, everyHost...)...).Hosts {
		if (h.Sent > 0) != (h.Host == "h3") || h.Sent+h.Held != 3 {
			t.Errorf("import: %+v", h)
		}
	}
}

// checkInventory: it says what each host is, that it holds v1, and nothing else of the hosts.
func checkInventory(t *testing.T, file, v1 string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	inv, err := bundle.ReadInventory(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	src, err := layers.Open(t.Context(), layers.Ref{Transport: layers.TransportDockerArchive, Path: strings.TrimPrefix(v1, "docker-archive:")}, nil, layers.OpenOptions{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	img, err := src.Image(t.Context(), layers.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]struct {
		store string
		zstd  bool
	}{"h1": {bundle.StoreGraph, false}, "h2": {bundle.StoreContainerd, true}, "h3": {bundle.StoreGraph, true}, "h4": {bundle.StoreContainerd, true}}
	for _, h := range inv.Hosts {
		if missing := h.Held(img).Missing(img); len(missing) > 0 {
			t.Errorf("%s lacks %v by the inventory", h.Name, missing)
		}
		if w := want[h.Name]; h.Store != w.store || h.Zstd != w.zstd || h.Platform.String() != "linux/"+runtime.GOARCH {
			t.Errorf("%s: %s %s zstd %t", h.Name, h.Platform, h.Store, h.Zstd)
		}
		if addr := world.lab.Host(h.Name).Addr.String(); bytes.Contains(raw, []byte(addr)) {
			t.Errorf("the inventory has the address %s", addr)
		}
	}
}

// TestWholeBundle: one that leaves nothing out goes into any engine: in parts by import, into a local engine too, and
// without ship by docker load.
func TestWholeBundle(t *testing.T) {
	stick := filepath.Join(t.TempDir(), "whole.bundle")
	spec := courierSpec("whole")
	spec.Layers[0].Name = "courier-whole"
	e := export(t, imageOf(t, spec), "-o", stick, "--split", "10MB", "--tag", "whole:v1")
	if e.Partial || len(e.Files) != int((e.Bytes+9_999_999)/10_000_000) || e.Image != "whole:v1" {
		t.Errorf("export: %+v", e)
	}
	ctl := controller(t, "h3")
	for script, parts := range map[string][]string{
		// Onto a stick that has room for a few bytes only.
		`docker load -q && mkdir -p stick && mount -t tmpfs -o size=1m stick stick && { ship bundle export whole:v1 -o stick; test $? = 82; } &&
			test -z "$(ls -A stick)" && umount stick && docker rmi whole:v1`: e.Files,
		"docker load -q && docker rmi whole:v1":                                                                     e.Files,
		"cat >/root/whole.bundle && ship bundle import /root/whole.bundle && docker rmi whole:v1":                   e.Files,
		"cat >/root/whole.bundle && ship push bundle:/root/whole.bundle h1":                                         e.Files,
		"cat >/root/whole.bundle && ! ship bundle import --verify /root/whole.bundle && rm /root/whole.bundle && :": e.Files[:1],
	} {
		cmd := ctl.Command(t.Context(), "sh", "-c", "cd; "+script+" 2>&1")
		var all bytes.Buffer
		for _, p := range parts {
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(b)
		}
		cmd.Stdin = &all
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
	importTo(t, 0, stick, "h2")
	for _, h := range []string{"h1", "h2"} {
		if out, err := world.lab.Host(h).Exec(t.Context(), "docker rmi whole:v1"); err != nil {
			t.Errorf("%s: %v %s", h, err, out)
		}
	}
	conf := appOf(t, "carried", []string{"h1"}, "")
	mustShip(t, 0, "deploy", "bundle:"+export(t, image(t, "carried:v1"), "-o", stick+"2").Files[0], "-c", conf)
	serves(t, "carried", "v1", "h1")
}

// TestBadBundles: each mistake and each damage has its exit code, and a message that names it.
func TestBadBundles(t *testing.T) {
	v1 := imageOf(t, courierSpec("v1"))
	dir := t.TempDir()
	good := export(t, v1, "-o", filepath.Join(dir, "good.bundle")).Files[0]
	raw, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	hurt := bytes.Clone(raw)
	hurt[len(hurt)/2] ^= 1
	damaged, cut := write("damaged.bundle", hurt), write("cut.bundle", raw[:len(raw)/2])
	text := write("text", []byte("hello"))
	foreign := write("inventory.json", []byte(`{"version":1,"hosts":[{"name":"pi","platform":{"os":"linux","architecture":"riscv64"},"store":"containerd"}]}`))
	full := write("full.003", nil)
	for name, tc := range map[string]struct {
		code  int
		args  []string
		parts []string
	}{
		"no bundle":             {80, []string{"import", text, "h1"}, []string{"not a bundle"}},
		"no file":               {80, []string{"import", filepath.Join(dir, "none"), "h1"}, []string{"none"}},
		"damaged":               {82, []string{"import", damaged, "h1"}, []string{"damaged.bundle", "damaged between bytes", "layer 1 of 3", "hint"}},
		"cut":                   {82, []string{"import", cut, "h1"}, []string{"cut.bundle", "cut short", "layer 1 of 3", "hint"}},
		"verify to hosts":       {80, []string{"import", "--verify", good, "h1"}, []string{"--verify"}},
		"only verify":           {82, []string{"import", "--verify", cut}, []string{"cut short"}},
		"no inventory":          {80, []string{"export", v1, "--for", filepath.Join(dir, "none")}, []string{"none", "ship hosts inventory"}},
		"foreign inventory":     {80, []string{"export", v1, "--for", text}, []string{"not an inventory"}},
		"foreign platform":      {82, []string{"export", v1, "--for", foreign}, []string{"pi", "riscv64"}},
		"no size":               {80, []string{"export", v1, "--split", "4 barrels"}, []string{"4 barrels"}},
		"tiny parts":            {80, []string{"export", v1, "--split", "4kB"}, []string{"parts"}},
		"old parts":             {80, []string{"export", v1, "-o", strings.TrimSuffix(full, ".003"), "--split", "20MB"}, []string{"full.003"}},
		"no folder":             {80, []string{"export", v1, "-o", filepath.Join(dir, "none", "x")}, []string{"none"}},
		"onto a device":         {80, []string{"export", v1, "-o", "/dev/null"}, []string{"/dev/null", "regular"}},
		"inventory to a device": {80, []string{"hosts", "inventory", "h1", "-o", "/dev/null"}, []string{"/dev/null", "regular"}},
		"inventory of whom":     {80, []string{"hosts", "inventory"}, []string{"ship.yaml"}},
		"inventory, no host":    {101, []string{"hosts", "inventory", "h1", "nowhere.invalid", "-o", filepath.Join(dir, "none.json")}, []string{"nowhere.invalid"}},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.args[0] != "hosts" {
				tc.args = append([]string{"bundle"}, tc.args...)
			}
			o := ship(t, tc.args...)
			if o.code != tc.code {
				t.Errorf("want exit %d\n%s", tc.code, o)
			}
			wants(t, o.stderr, tc.parts...)
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "none.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an inventory was written all the same: %v", err)
	}
}

// TestBigBundle: nothing is held in memory, and an export that is cancelled leaves no file, whole or half.
func TestBigBundle(t *testing.T) {
	archive := bigArchive(t, 400<<20)
	dir := t.TempDir()
	o := stopAt(t, "read", "", interrupt, "bundle", "export", "docker-archive:"+archive, "-o", filepath.Join(dir, "x.bundle"))
	if o.code != 130 {
		t.Errorf("%s", o)
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) > 0 {
		t.Errorf("left: %v %v", list, err)
	}
	for _, args := range [][]string{{"export", "docker-archive:" + archive, "-o", dir}, {"import", "--verify", filepath.Join(dir, "big_v1.bundle")}} {
		cmd := command(t, append([]string{"bundle"}, args...)...)
		if o := finishWithin(t, cmd, 150<<20); o.code != 0 {
			t.Fatal(o)
		}
	}
}
