package chunk

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// keep makes a blob of n chunks that was used so long ago.
func keep(t *testing.T, s *Store, dir string, name Name, n int, ago time.Duration) {
	t.Helper()
	p, sums := content(byte(n), n*Size)
	b := openBlob(t, s, name)
	announce(t, b, sums, len(p))
	for i := range sums {
		put(t, b, p, i)
	}
	b.Close()
	then := time.Now().Add(-ago)
	if err := os.Chtimes(filepath.Join(dir, name.log()), then, then); err != nil {
		t.Fatal(err)
	}
}

func TestSweep(t *testing.T) {
	day := 24 * time.Hour
	cases := []struct {
		name  string
		quota int64
		want  []string
	}{
		{"old ones go", 1 << 30, []string{"in-use", "last", "short", "week"}},
		{"the longest unused go first", 5*Size + 64<<10, []string{"in-use", "last", "short"}},
		{"all but what is in use", 0, []string{"in-use"}},
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			keep(t, s, dir, "ancient", 1, 8*day)
			keep(t, s, dir, "week", 3, 6*day)
			keep(t, s, dir, "short", 1, 2*day)
			keep(t, s, dir, "last", 2, day)
			keep(t, s, dir, "in-use", 2, 9*day)
			b := openBlob(t, s, "in-use")
			if err := os.Chtimes(filepath.Join(dir, "in-use"+logSuffix), time.Time{}, time.Now().Add(-9*day)); err != nil {
				t.Fatal(err)
			}
			foreign := filepath.Join(dir, "foreign.txt")
			if err := os.WriteFile(foreign, []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
			again, err := Open(dir, x.quota)
			if err != nil {
				t.Fatal(err)
			}
			defer again.root.Close()
			var want []string
			for _, n := range x.want {
				want = append(want, n+dataSuffix, n+logSuffix)
			}
			want = append(want, "foreign.txt")
			slices.Sort(want)
			if got := names(t, dir); !slices.Equal(got, want) {
				t.Errorf("left are %v, expected %v", got, want)
			}
			if !b.Has(0) {
				if n := announce(t, b, sumsOf(2), 2*Size); n != 2 {
					t.Errorf("%d chunks are left of the blob in use", n)
				}
			}
		})
	}
}

func sumsOf(n int) []Sum {
	_, sums := content(byte(n), n*Size)
	return sums
}

// A blob of which a killed process left one file is swept like the others.
func TestSweepHalves(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a" + dataSuffix, "b" + logSuffix} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	openStore(t, dir)
	if got := names(t, dir); len(got) != 2 {
		t.Errorf("within the quota and new, but left are %v", got)
	}
	if s, err := Open(dir, 0); err != nil {
		t.Fatal(err)
	} else if err := s.Close(); err != nil {
		t.Error(err)
	}
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("left are %v", got)
	}
}

// What was used while the clock was ahead grows old like everything else.
func TestSweepAfterClockWasAhead(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	keep(t, s, dir, "a", 1, -365*24*time.Hour)
	openStore(t, dir)
	info, err := os.Stat(filepath.Join(dir, "a"+logSuffix))
	if err != nil {
		t.Fatal(err)
	}
	if time.Until(info.ModTime()) > 0 {
		t.Errorf("used at %v", info.ModTime())
	}
}
