package place

import (
	"crypto/ed25519"
	"crypto/rand"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func newKey(t testing.TB) (seed []byte, public ssh.PublicKey) {
	t.Helper()
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	public, err = ssh.NewPublicKey(pub)
	must(t, err)
	return private.Seed(), public
}

func grantOf(t testing.TB, run string) Grant {
	_, key := newKey(t)
	return Grant{Run: run, Key: key, From: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		Command: `exec 'it'\''s "quoted" \ /'`, Life: time.Hour}
}

func TestGrantsLeaveNoTrace(t *testing.T) {
	for name, before := range map[string]string{
		"a line":       "ssh-ed25519 AAAA me@home\n",
		"no last end":  "# first\r\nssh-rsa AAAA me\nssh-ed25519 AAAA me@home",
		"empty":        "",
		"not a text":   "\x00\xff\n\n\ncommand=\"x\" ssh-rsa AAAA \xe4",
		"like a grant": "restrict,from=\"192.0.2.1\",expiry-time=\"20200101000000\" ssh-ed25519 AAAA ship-run1\n restrict,from=\"a\",expiry-time=\"20200101000000\",command=\"x\" ssh-ed25519 AAAA ship-run1\n",
	} {
		t.Run(name, func(t *testing.T) {
			shells(t, func(t *testing.T, sh *local) {
				file := filepath.Join(sh.home, ".ssh/authorized_keys")
				write(t, file, before, 0o640)
				must(t, Admit(t.Context(), sh, grantOf(t, "run1"), grantOf(t, "run1")))
				must(t, Admit(t.Context(), sh, grantOf(t, "run2")))
				got := read(t, file)
				if strings.Count(got, "restrict,from=\"192.0.2.1,2001:db8::1\"") != 3 || !strings.HasSuffix(got, before) {
					t.Errorf("with grants:\n%s", got)
				}
				must(t, Revoke(t.Context(), sh, "run1"))
				if got := read(t, file); strings.Count(got, "2001:db8::1") != 1 || !strings.Contains(got, " ship-run2\n") || !strings.HasSuffix(got, before) {
					t.Errorf("after one revoke:\n%s", got)
				}
				must(t, Revoke(t.Context(), sh, "run2"))
				must(t, Revoke(t.Context(), sh, "run2"))
				st, err := os.Stat(file)
				must(t, err)
				if got := read(t, file); got != before || st.Mode() != 0o640 {
					t.Errorf("afterwards %v %q, want %q", st.Mode(), got, before)
				}
				if got := names(t, filepath.Dir(file)); got != "authorized_keys" {
					t.Errorf("left behind: %s", got)
				}
			})
		})
	}
}

func TestGrantWithoutFolder(t *testing.T) {
	shells(t, func(t *testing.T, sh *local) {
		must(t, Revoke(t.Context(), sh, "run1"))
		must(t, Admit(t.Context(), sh, grantOf(t, "run1")))
		must(t, Admit(t.Context(), sh, grantOf(t, "run2")))
		for path, want := range map[string]os.FileMode{".ssh": 0o700 | os.ModeDir, ".ssh/authorized_keys": 0o600} {
			st, err := os.Stat(filepath.Join(sh.home, path))
			must(t, err)
			if st.Mode() != want {
				t.Errorf("%s has mode %v, want %v", path, st.Mode(), want)
			}
		}
		must(t, Revoke(t.Context(), sh, "run1"))
		must(t, Revoke(t.Context(), sh, "run2"))
		if got := names(t, sh.home); got != "" {
			t.Errorf("left behind: %s", got)
		}
		// What somebody else puts there meanwhile stays.
		must(t, Admit(t.Context(), sh, grantOf(t, "run1")))
		file := filepath.Join(sh.home, ".ssh/authorized_keys")
		write(t, file, read(t, file)+"# mine\n", 0o600)
		must(t, Revoke(t.Context(), sh, "run1"))
		if got := names(t, filepath.Dir(file)); got != "authorized_keys" || read(t, file) != "# mine\n" {
			t.Errorf("%s: %q", got, read(t, file))
		}
	})
}

func TestGrantWithoutFile(t *testing.T) {
	shells(t, func(t *testing.T, sh *local) {
		must(t, os.Mkdir(filepath.Join(sh.home, ".ssh"), 0o700))
		must(t, Admit(t.Context(), sh, grantOf(t, "run1")))
		must(t, Revoke(t.Context(), sh, "run1"))
		if got := names(t, sh.home) + names(t, filepath.Join(sh.home, ".ssh")); got != ".ssh" {
			t.Errorf("left behind: %s", got)
		}
	})
}

func TestExpiredGrantsGo(t *testing.T) {
	shells(t, func(t *testing.T, sh *local) {
		// The host's local time is far from ours and from UTC, and what a shell is told does not count.
		sh.env = append(sh.env, "TZ=Nowhere-9")
		file := filepath.Join(sh.home, ".ssh/authorized_keys")
		begin := time.Now()
		must(t, Admit(t.Context(), sh, grantOf(t, "alive")))
		alive := read(t, file)
		m := regexp.MustCompile(`expiry-time="(\d{14})"`).FindStringSubmatch(alive)
		if m == nil {
			t.Fatalf("no time of expiry in %s", alive)
		}
		expiry, err := time.ParseInLocation("20060102150405", m[1], time.Local)
		must(t, err)
		if d := expiry.Sub(begin); d < time.Hour-time.Second || d > time.Hour+time.Minute {
			t.Errorf("expires after %v", d)
		}
		dead := strings.NewReplacer(m[1], time.Now().Add(-time.Minute).Format("20060102150405"), "ship-alive", "ship-dead").Replace(alive)
		const mine = "ssh-ed25519 AAAA me\n"
		write(t, file, dead+mine+alive, 0o600)
		must(t, Revoke(t.Context(), sh, "another"))
		if got := read(t, file); got != mine+alive {
			t.Errorf("after a revoke of another run:\n%s", got)
		}
		write(t, file, mine+dead, 0o600)
		must(t, Admit(t.Context(), sh, grantOf(t, "next")))
		if got := read(t, file); strings.Contains(got, "ship-dead") || !strings.HasSuffix(got, " ship-next\n"+mine) {
			t.Errorf("after another grant:\n%s", got)
		}
	})
}

// A host's clock may be years off: only that clock counts.
func TestGrantByTheHostsClock(t *testing.T) {
	// date goes 1000 days ahead, save when it is to format a given time.
	sh := &local{argv: []string{"dash"}, home: t.TempDir()}
	bin := filepath.Join(sh.home, "bin")
	write(t, filepath.Join(bin, "date"), `#!/bin/sh
case $* in -d*) exec /usr/bin/date "$@" ;; esac
exec /usr/bin/date -d "@$(($(/usr/bin/date +%s)+86400000))" "$@"
`, 0o700)
	sh.env = []string{"PATH=" + bin + ":/usr/bin:/bin"}
	file := filepath.Join(sh.home, ".ssh/authorized_keys")
	must(t, Admit(t.Context(), sh, grantOf(t, "alive")))
	soon := time.Now().Add(1000*24*time.Hour + time.Hour)
	if got := read(t, file); !strings.Contains(got, `expiry-time="`+soon.Format("200601")) {
		t.Errorf("want a grant until about %v: %s", soon, got)
	}
	must(t, Revoke(t.Context(), sh, "another"))
	if got := read(t, file); !strings.Contains(got, "ship-alive") {
		t.Error("a grant that is good for an hour passes for expired")
	}
}

func TestGrantLink(t *testing.T) {
	shells(t, func(t *testing.T, sh *local) {
		real := filepath.Join(sh.home, "dotfiles/keys")
		write(t, real, "# mine\n", 0o600)
		link := filepath.Join(sh.home, ".ssh/authorized_keys")
		must(t, os.Mkdir(filepath.Dir(link), 0o700))
		must(t, os.Symlink("../dotfiles/keys", link))
		must(t, Admit(t.Context(), sh, grantOf(t, "run1")))
		if got := read(t, real); !strings.HasSuffix(got, " ship-run1\n# mine\n") {
			t.Errorf("behind the link: %s", got)
		}
		must(t, Revoke(t.Context(), sh, "run1"))
		if to, err := os.Readlink(link); err != nil || read(t, real) != "# mine\n" {
			t.Errorf("link to %q, %v; behind it %s", to, err, read(t, real))
		}
		if got := names(t, filepath.Dir(link)) + " " + names(t, filepath.Dir(real)); got != "authorized_keys keys" {
			t.Errorf("left behind: %s", got)
		}
	})
}

func TestGrantsAtOnce(t *testing.T) {
	shells(t, func(t *testing.T, sh *local) {
		file := filepath.Join(sh.home, ".ssh/authorized_keys")
		runs := []string{"a", "b", "c", "d", "e"}
		each := func(do func(sh Shell, run string) error) {
			t.Helper()
			errs := make([]error, len(runs))
			var wg sync.WaitGroup
			for i, run := range runs {
				mine := *sh
				wg.Go(func() { errs[i] = do(&mine, run) })
			}
			wg.Wait()
			for _, err := range errs {
				must(t, err)
			}
		}
		each(func(sh Shell, run string) error { return Admit(t.Context(), sh, grantOf(t, run)) })
		if got := read(t, file); strings.Count(got, "\n") != len(runs) {
			t.Errorf("want %d grants:\n%s", len(runs), got)
		}
		each(func(sh Shell, run string) error { return Revoke(t.Context(), sh, run) })
		if got := names(t, sh.home); got != "" {
			t.Errorf("left behind: %s", got)
		}
	})
}

func TestGrantBreaksAnOldLock(t *testing.T) {
	shells(t, func(t *testing.T, sh *local) {
		lock := filepath.Join(sh.home, ".ssh/.ship-lock")
		must(t, os.MkdirAll(lock, 0o700))
		old := time.Now().Add(-5 * time.Minute)
		must(t, os.Chtimes(lock, old, old))
		must(t, Admit(t.Context(), sh, grantOf(t, "run1")))
		must(t, Revoke(t.Context(), sh, "run1"))
		if got := names(t, filepath.Dir(lock)); got != "" {
			t.Errorf("left behind: %s", got)
		}
	})
}

func TestGrantRefuses(t *testing.T) {
	for name, change := range map[string]func(*Grant){
		"run with a blank":    func(g *Grant) { g.Run = "a b" },
		"no run":              func(g *Grant) { g.Run = "" },
		"nowhere from":        func(g *Grant) { g.From = nil },
		"no key":              func(g *Grant) { g.Key = nil },
		"no command":          func(g *Grant) { g.Command = "" },
		"command of lines":    func(g *Grant) { g.Command = "a\nssh-ed25519 AAAA" },
		"backslash at end":    func(g *Grant) { g.Command = `a\` },
		"command of 7 KiB +1": func(g *Grant) { g.Command = strings.Repeat("a", maxCommand+1) },
	} {
		g := grantOf(t, "run1")
		change(&g)
		sh := &local{}
		if err := Admit(t.Context(), sh, g); err == nil || sh.calls != 0 {
			t.Errorf("%s: %v after %d scripts", name, err, sh.calls)
		}
	}
	if err := Revoke(t.Context(), &local{}, ".*"); err == nil {
		t.Error("a run that is a pattern")
	}
}
