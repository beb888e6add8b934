package place

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// program makes a helper of a script, which runs on any machine.
func program(t testing.TB, script string) Binary {
	t.Helper()
	text := []byte("#!/bin/sh\n" + script + "\n")
	sum := sha256.Sum256(text)
	gz := zipped(t, text)
	return Binary{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(text)), GzipSize: int64(len(gz)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(gz)), nil }}
}

// helper is a program that passes for the helper.
func helper(t testing.TB, more string) Binary {
	return program(t, `[ "$1" != check ] || { echo `+Checked+`; exit; }`+"\n"+more)
}

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, err := w.Write(b)
	must(t, errors.Join(err, w.Close()))
	return z.Bytes()
}

func hashes(b Binary) map[string]string { return map[string]string{runtime.GOARCH: b.SHA256} }

// installed brings a helper to a host that has none.
func installed(t testing.TB, sh Shell, b Binary) Found {
	t.Helper()
	f, err := Look(t.Context(), sh, hashes(b))
	must(t, err)
	if f.Present {
		t.Fatalf("%s is there already", f.Path)
	}
	f, err = Install(t.Context(), sh, f, b)
	must(t, err)
	return f
}

func TestInstallOnce(t *testing.T) {
	shells(t, func(t *testing.T, sh *local) {
		b := helper(t, "echo hello")
		first := installed(t, sh, b)
		if !first.Present || first.Arch != runtime.GOARCH || first.Path != filepath.Join(sh.home, ".cache/ship", Prefix+b.SHA256) {
			t.Fatalf("found %+v", first)
		}
		if sh.calls != 2 || sh.sent != b.GzipSize {
			t.Errorf("%d round trips and %d bytes for an install, want 2 and %d", sh.calls, sh.sent, b.GzipSize)
		}
		again, err := Look(t.Context(), sh, hashes(b))
		must(t, err)
		if !again.Present || again.Path != first.Path || sh.calls != 3 {
			t.Errorf("found %+v after %d round trips, want it present after one more", again, sh.calls)
		}
		if again.Dir == first.Dir {
			t.Error("two runs share a folder")
		}
		for path, want := range map[string]os.FileMode{first.Path: 0o700, filepath.Dir(first.Path): 0o700 | os.ModeDir, first.Dir: 0o700 | os.ModeDir} {
			st, err := os.Lstat(path)
			must(t, err)
			if st.Mode() != want {
				t.Errorf("%s has mode %v, want %v", path, st.Mode(), want)
			}
		}
	})
}

func TestLookRefuses(t *testing.T) {
	shells(t, func(t *testing.T, sh *local) {
		f, err := Look(t.Context(), sh, map[string]string{"vax": strings.Repeat("0", 64)})
		if !errors.Is(err, ErrArchitecture) || f.Arch != runtime.GOARCH {
			t.Errorf("without a binary for it: %+v, %v", f, err)
		}
		if got := names(t, sh.home); got != "" {
			t.Errorf("left behind: %s", got)
		}
	})
}

func TestLookMendsAndForgets(t *testing.T) {
	shells(t, func(t *testing.T, sh *local) {
		b := helper(t, "")
		f := installed(t, sh, b)
		dir := filepath.Dir(f.Path)
		write(t, f.Path, "#!/bin/sh\necho damaged\n", 0o700)
		old := time.Now().Add(-32 * 24 * time.Hour)
		for _, name := range []string{Prefix + "old", Prefix + "new", Prefix + "x.part-old", Prefix + "x.part-new", ".try-old", "other-old", "run-old/sock", "run-new/sock"} {
			path := filepath.Join(dir, name)
			write(t, path, "", 0o700)
			if strings.Contains(name, "old") {
				must(t, os.Chtimes(path, old, old))
				must(t, os.Chtimes(filepath.Join(dir, strings.TrimSuffix(name, "/sock")), old, old))
			}
		}
		must(t, os.RemoveAll(f.Dir))
		f, err := Look(t.Context(), sh, hashes(b))
		must(t, err)
		if f.Present {
			t.Error("a damaged file passes for the helper")
		}
		must(t, os.RemoveAll(f.Dir))
		if got, want := names(t, dir), "other-old run-new "+Prefix+"new "+Prefix+"x.part-new"; got != want {
			t.Errorf("left: %s\nwant: %s", got, want)
		}
	})
}

func TestLongHome(t *testing.T) {
	shells(t, func(t *testing.T, sh *local) {
		sh.home = filepath.Join(sh.home, strings.Repeat("long", 20))
		must(t, os.Mkdir(sh.home, 0o700))
		f, err := Look(t.Context(), sh, hashes(helper(t, "")))
		must(t, err)
		if len(f.Dir) > 90 {
			t.Errorf("a socket in %s has too long a path", f.Dir)
		}
		must(t, Forget(t.Context(), sh, f))
		must(t, Forget(t.Context(), sh, f))
		if _, err := os.Stat(f.Dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", f.Dir, err)
		}
	})
}

func TestInstallDamaged(t *testing.T) {
	shells(t, func(t *testing.T, sh *local) {
		b := helper(t, "# "+strings.Repeat("long ", 1000))
		good, err := b.Open()
		must(t, err)
		gz, err := io.ReadAll(good)
		must(t, err)
		flipped := bytes.Clone(gz)
		flipped[len(flipped)/2] ^= 1
		f, err := Look(t.Context(), sh, hashes(b))
		must(t, err)
		for name, gz := range map[string][]byte{
			"cut": gz[:len(gz)/2], "flipped": flipped, "empty": nil, "no gzip": []byte("hello"),
			"another": zipped(t, []byte("#!/bin/sh\necho another\n")), "endless": zipped(t, make([]byte, 1<<20)),
		} {
			bad := b
			bad.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(gz)), nil }
			if _, err := Install(t.Context(), sh, f, bad); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s: %v, want ErrDamaged", name, err)
			}
			if got := names(t, filepath.Dir(f.Path)); got != filepath.Base(f.Dir) {
				t.Errorf("%s: left behind: %s", name, got)
			}
		}
	})
}

func TestInstallForbidden(t *testing.T) {
	shells(t, func(t *testing.T, sh *local) {
		b := program(t, "echo this machine wants no helper; exit 1")
		f, err := Look(t.Context(), sh, hashes(b))
		must(t, err)
		if _, err := Install(t.Context(), sh, f, b); !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), "wants no helper") {
			t.Errorf("%v, want ErrForbidden with the program's words", err)
		}
		if got := names(t, filepath.Dir(f.Path)); got != filepath.Base(f.Dir) {
			t.Errorf("left behind: %s", got)
		}
	})
}

// talk is a Shell that answers without a host.
type talk string

func (a talk) Script(_ context.Context, _ string, _ []string, _ io.Reader) ([]byte, error) {
	return []byte(a), nil
}

func TestLookDistrusts(t *testing.T) {
	b := Binary{SHA256: strings.Repeat("a", 64)}
	path := "ship-place path /x/" + Prefix + b.SHA256 + "\n"
	for _, c := range []struct {
		name, answer string
		want         error // nil = any
	}{
		{"nothing", "", ErrForbidden},
		{"a restricted login", "This service allows sftp connections only.\n", ErrForbidden},
		{"noexec", "Welcome!\nship-place arch amd64\nship-place noexec tried /home/me\n", ErrNoexec},
		{"half an answer", "ship-place arch amd64\n" + path, ErrForbidden},
		{"no path", "ship-place arch amd64\nship-place dir /x\nship-place done\n", nil},
		{"a path of its own", "ship-place arch amd64\nship-place path /bin/sh\nship-place dir /x\nship-place done\n", nil},
		{"a relative folder", "ship-place arch amd64\n" + path + "ship-place dir x\nship-place done\n", nil},
	} {
		f, err := Look(t.Context(), talk(c.answer), map[string]string{"amd64": b.SHA256})
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if f.Path != "" || f.Dir != "" || f.Present {
			t.Errorf("%s: an error and %+v", c.name, f)
		}
	}
}
