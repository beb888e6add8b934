//go:build linux

package lab

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var nothing = netip.MustParsePrefix("10.77.255.0/24")

func TestParseRate(t *testing.T) {
	for s, want := range map[string]Rate{"100mbit": 100 * Mbit, "64kbit": 64_000, "1gbit": 1_000_000_000, "0mbit": 0, "-1mbit": 0, "mbit": 0, "100": 0, "9999999gbit": 0} {
		if got, err := ParseRate(s); got != want || (err == nil) != (want > 0) {
			t.Errorf("%s: %d, %v, want %d", s, got, err, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{"2G": 2 << 30, "500M": 500 << 20, "4096K": 4 << 20, "5000": 5000, "": 0, "G": 0, "-1G": 0, "1T": 0, "99999999999G": 0} {
		if got, err := ParseSize(s); got != want || (err == nil) != (want > 0) {
			t.Errorf("%s: %d, %v, want %d", s, got, err, want)
		}
	}
}

func TestMirror(t *testing.T) {
	const local = "http://mirror.example/debian"
	for name, test := range map[string]struct{ file, content, want string }{
		"stanza":     {"a.sources", "Types: deb deb-src\n# note\nURIs: " + local + "/\nSuites: bookworm\nComponents: main contrib\n", local},
		"folded":     {"a.sources", "Types: deb\nURIs:\n " + local + "\nSuites: x\nComponents: main\n", local},
		"disabled":   {"a.sources", "Types: deb\nEnabled: no\nURIs: " + local + "\nSuites: x\nComponents: main\n", defaultMirror},
		"one line":   {"a.list", "deb-src http://s.example/debian x main\ndeb [arch=amd64 signed-by=/k] " + local + " bookworm main # c\n", local},
		"security":   {"a.list", "deb http://mirror.example/debian-security bookworm-security main\n", defaultMirror},
		"stranger":   {"a.list", "deb https://packages.example/apt stable main\n", defaultMirror},
		"commented":  {"a.list", "# deb " + local + " bookworm main\n", defaultMirror},
		"two blocks": {"a.sources", "Types: deb\nURIs: http://x.example/other\nSuites: x\nComponents: main\n\nTypes: deb\nURIs: " + local + "\nSuites: x\nComponents: main\n", local},
		"empty":      {"a.list", "", defaultMirror},
	} {
		path := filepath.Join(t.TempDir(), test.file)
		ok(t, os.WriteFile(path, []byte(test.content), 0o644))
		if got := mirror([]string{"/nonexistent", path}); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func FuzzArchives(f *testing.F) {
	f.Add("Types: deb\nURIs: a b\nComponents: main\n", true)
	f.Add(" \n:\nTypes", true)
	f.Add("deb [x] u s main\ndeb [ u\n", false)
	f.Fuzz(func(t *testing.T, s string, deb822 bool) {
		uris, _ := archives(strings.NewReader(s), deb822)
		for _, u := range uris {
			if u == "" || strings.ContainsAny(u, " \t\n") {
				t.Errorf("archive %q", u)
			}
		}
	})
}

func TestFindCgroups(t *testing.T) {
	for name, test := range map[string]struct {
		mounts string
		want   cgroups
	}{
		"v2": {"proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n", cgroups{{path: "/sys/fs/cgroup", unified: true}}},
		"v1": {"cgroup /c/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0\ncgroup /c/systemd cgroup rw,xattr,release_agent=/a,name=systemd 0 0\n" +
			"cgroup /again cgroup rw,cpu,cpuacct 0 0\ncgroup2 /c/unified cgroup2 rw 0 0\n",
			cgroups{{path: "/c/cpu,cpuacct", options: "cpu,cpuacct"}, {path: "/c/systemd", options: "name=systemd"}}},
		"none": {"proc /proc proc rw 0 0\nshort\n", nil},
	} {
		path := filepath.Join(t.TempDir(), "mounts")
		ok(t, os.WriteFile(path, []byte(test.mounts), 0o644))
		if got, err := findCgroups(path); !slices.Equal(got, test.want) || (err == nil) != (test.want != nil) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, test.want)
		}
	}
}

func TestParseCounters(t *testing.T) {
	l := &Lab{Subnet: netip.MustParsePrefix("10.77.0.0/24"), Hosts: []*Host{{Name: "h1", Addr: netip.MustParseAddr("10.77.0.11")}}}
	const reply = `{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"set": {"family": "bridge", "name": "link", "elem": [
		{"elem": {"val": {"concat": ["10.77.0.1", "10.77.0.11"]}, "counter": {"packets": 3, "bytes": 180}}},
		{"elem": {"val": {"concat": ["10.77.0.11", "224.0.0.22"]}, "counter": {"packets": 1, "bytes": 40}}}]}}]}`
	got, err := l.parseCounters([]byte(reply))
	if want := []Counter{{"ctl", "h1", 3, 180}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{"", "{", `{"nftables": [{"set": {"elem": [{"elem": {}}]}}]}`} {
		if got, err := l.parseCounters([]byte(bad)); err == nil {
			t.Errorf("%q: %v, want an error", bad, got)
		}
	}
}

func TestOptions(t *testing.T) {
	one := []HostOptions{{}}
	for name, o := range map[string]Options{
		"no hosts": {}, "long id": {ID: "abcdefghijkl", Hosts: one}, "id with a slash": {ID: "a/b", Hosts: one},
		"subnet": {Subnet: "10.0.0.0/8", Hosts: one}, "v6": {Subnet: "fd00::/24", Hosts: one}, "no subnet": {Subnet: "x", Hosts: one},
		"20.10 has no such store": {Hosts: []HostOptions{{Engine: "bookworm", ContainerdStore: true}}},
		"engine is a path":        {Hosts: []HostOptions{{Engine: "../x"}}}, "disk": {Hosts: []HostOptions{{Disk: "big"}}},
	} {
		o.Dir = "/var/lib/ship-lab-test-options"
		if l, err := Up(t.Context(), o); err == nil {
			t.Errorf("%s: made a lab", name)
			ok(t, l.Close())
		}
	}
	_ = os.Remove("/var/lib/ship-lab-test-options") // there if an option was refused late
}
