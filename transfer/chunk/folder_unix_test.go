//go:build unix

package chunk

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// foreign is a user who is neither root nor the one who runs the tests.
const foreign = 4711

// Whoever can write to a folder above a store may have prepared it for us: nothing of ours is changed by that.
func TestOpenInForeignFolders(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test gives folders to other users, which only root may do")
	}
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, base, victim string) // base is like /var/tmp
		trusted []int
		refused string // part of the error; "" = the store opens
	}{
		{name: "nothing is there", prepare: func(*testing.T, string, string) {}},
		{name: "our own", prepare: func(t *testing.T, base, _ string) {
			folder(t, filepath.Join(base, "ship"), 0o700, 0)
			folder(t, filepath.Join(base, "ship", "chunks"), 0o755, 0)
		}},
		{name: "our own link above", prepare: func(t *testing.T, base, _ string) {
			folder(t, filepath.Join(base, "elsewhere"), 0o700, 0)
			link(t, "./../tmp/elsewhere", filepath.Join(base, "ship"), 0)
		}},
		{name: "a foreign folder", refused: "belongs to user 4711", prepare: func(t *testing.T, base, _ string) {
			folder(t, filepath.Join(base, "ship"), 0o755, foreign)
		}},
		{name: "a foreign folder of a trusted user", trusted: []int{foreign}, prepare: func(t *testing.T, base, _ string) {
			folder(t, filepath.Join(base, "ship"), 0o700, foreign)
		}},
		{name: "a foreign folder with a link in it", refused: "belongs to user 4711", prepare: func(t *testing.T, base, victim string) {
			folder(t, filepath.Join(base, "ship"), 0o755, foreign)
			link(t, victim, filepath.Join(base, "ship", "chunks"), foreign)
		}},
		{name: "a trusted user's link in place of the store", trusted: []int{foreign}, refused: "is a symbolic link", prepare: func(t *testing.T, base, victim string) {
			folder(t, filepath.Join(base, "ship"), 0o755, foreign)
			link(t, victim, filepath.Join(base, "ship", "chunks"), foreign)
		}},
		{name: "a foreign link in place of the folder", refused: "belongs to user 4711", prepare: func(t *testing.T, base, victim string) {
			link(t, filepath.Dir(victim), filepath.Join(base, "ship"), foreign)
		}},
		{name: "a foreign store", refused: "belongs to user 4711", prepare: func(t *testing.T, base, _ string) {
			folder(t, filepath.Join(base, "ship"), 0o700, 0)
			folder(t, filepath.Join(base, "ship", "chunks"), 0o755, foreign)
		}},
		{name: "a folder that all may write to", refused: "anybody may change", prepare: func(t *testing.T, base, _ string) {
			folder(t, filepath.Join(base, "ship"), 0o777, 0)
		}},
		{name: "a link to itself", refused: "is a symbolic link", prepare: func(t *testing.T, base, _ string) {
			link(t, "ship", filepath.Join(base, "ship"), 0)
		}},
		{name: "a file", refused: "is not a folder", prepare: func(t *testing.T, base, _ string) {
			if err := os.WriteFile(filepath.Join(base, "ship"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			top := t.TempDir()
			base, victim := filepath.Join(top, "tmp"), filepath.Join(top, "root", "chunks")
			folder(t, base, 0o777|os.ModeSticky, 0)
			folder(t, filepath.Dir(victim), 0o755, 0)
			folder(t, victim, 0o755, 0)
			for _, f := range []string{"old.data", "old.sums"} { // which a sweep to no quota would remove
				if err := os.WriteFile(filepath.Join(victim, f), make([]byte, Size), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			tt.prepare(t, base, victim)
			s, err := Open(filepath.Join(base, "ship", "chunks"), 0, tt.trusted...)
			if err == nil {
				err = s.Close()
			}
			if tt.refused == "" && err != nil || tt.refused != "" && (err == nil || !strings.Contains(err.Error(), tt.refused)) {
				t.Errorf("%v, expected %q", err, tt.refused)
			}
			if info, err := os.Stat(victim); err != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("the victim's folder: %v, %v", info.Mode(), err)
			}
			if left, err := os.ReadDir(victim); err != nil || len(left) != 2 {
				t.Errorf("the victim's files: %v, %v", left, err)
			}
		})
	}
}

func folder(t *testing.T, path string, mode os.FileMode, uid int) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Lchown(path, uid, uid); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, to, path string, uid int) {
	t.Helper()
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
	if err := os.Lchown(path, uid, uid); err != nil {
		t.Fatal(err)
	}
}
