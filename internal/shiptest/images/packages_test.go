package images

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const status = `Package: libc6
Priority: optional
Depends: libgcc-s1, libcrypt1 (>= 1:4.4.10-10~)
Provides: libc6-virtual (= 2.36), awk:any

Package: dash
Priority: required
Pre-Depends: libc6 (>= 2.36),
 debianutils
Description: a shell
 of few words: and with colons

Package: libgcc-s1
Priority: optional

Package: apt
Priority: optional
Depends: gpgv | gpgv2, missing

Package: gpgv2
Priority: optional

Package: nginx
Priority: optional
Depends: libc6-virtual, libpcre2-8-0:amd64 [linux-any]

Package: libpcre2-8-0
Priority: optional
`

func TestClosure(t *testing.T) {
	all, err := readStatus(strings.NewReader(status))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		named []string
		want  string
	}{
		{nil, "dash libc6 libgcc-s1"},
		{[]string{"apt"}, "apt dash gpgv2 libc6 libgcc-s1"},
		{[]string{"nginx", "unknown"}, "dash libc6 libgcc-s1 libpcre2-8-0 nginx"},
	} {
		got := strings.Join(slices.Sorted(maps.Keys(closure(all, c.named...))), " ")
		if got != c.want {
			t.Errorf("%q: got %s", c.named, got)
		}
	}
}

func TestFilesOf(t *testing.T) {
	root := t.TempDir()
	info := filepath.Join(root, "var/lib/dpkg/info")
	if err := os.MkdirAll(info, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string]string{
		"dash.list":               "/.\n/bin/dash\n",
		"nginx.list":              "/.\n/usr\n/usr/sbin/nginx\n",
		"libpcre2-8-0:amd64.list": "/lib/x86_64-linux-gnu/libpcre2-8.so.0\n",
	} {
		if err := os.WriteFile(filepath.Join(info, name), []byte(list), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filesOf(root, map[string]bool{"dash": true})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"", "usr", "usr/lib/x86_64-linux-gnu/libpcre2-8.so.0", "usr/sbin/nginx"}
	if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
