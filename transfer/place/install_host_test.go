package place

import (
	"errors"
	"path"
	"strings"
	"testing"

	"ship/internal/shiptest/lab"
)

func TestInstallOnHosts(t *testing.T) {
	for _, name := range []string{"h1", "h2"} {
		for _, user := range []string{"root", "deploy", "sudoer"} {
			t.Run(name+" "+user, func(t *testing.T) {
				h := host(t, name)
				sh := loginAs(t, h, user)
				f := installed(t, sh, helper(t, `echo "$1 for $(id -un)"`))
				again, err := Look(t.Context(), sh, hashes(helper(t, `echo "$1 for $(id -un)"`)))
				must(t, err)
				if !again.Present || again.Path != f.Path {
					t.Errorf("found %+v, want what was put to %s", again, f.Path)
				}
				if got := shell(t, h, "stat -c '%U %a' "+f.Path+" "+f.Dir+" "+path.Dir(f.Path)); got != strings.Repeat(user+" 700\n", 3) {
					t.Errorf("owners and modes:\n%s", got)
				}
				if got := shell(t, h, "su -s /bin/sh "+user+" -c '"+f.Path+" serve'"); got != "serve for "+user+"\n" {
					t.Errorf("it says %q", got)
				}
			})
		}
	}
}

// mounted mounts an empty file system for everybody on a folder of the host for the time of the test.
func mounted(t *testing.T, h *lab.Host, dir, options string) {
	t.Helper()
	shell(t, h, "mkdir -p "+dir+" && mount -t tmpfs -o mode=1777,"+options+" none "+dir)
	t.Cleanup(func() { shell(t, h, "umount "+dir) })
}

func TestFolders(t *testing.T) {
	h := host(t, "h1")
	sh := loginAs(t, h, "deploy")
	look := func() (Found, error) {
		f, err := Look(t.Context(), sh, hashes(helper(t, "")))
		shell(t, h, "rm -rf ~deploy/.cache/ship /var/tmp/ship-1500 /run/user/1500/ship")
		return f, err
	}
	in := func(dir string) {
		t.Helper()
		f, err := look()
		must(t, err)
		if path.Dir(f.Path) != dir || path.Dir(f.Dir) != dir {
			t.Errorf("found %+v, want all in %s", f, dir)
		}
	}
	in("/home/deploy/.cache/ship")
	mounted(t, h, "/home/deploy/.cache", "noexec")
	in("/var/tmp/ship-1500")
	shell(t, h, "su nobody2 -s /bin/sh -c 'mkdir -m 777 /var/tmp/ship-1500'")
	shell(t, h, "su nobody2 -s /bin/sh -c 'ln -s /home/deploy /dev/shm/ship-1500'")
	if _, err := look(); !errors.Is(err, ErrNoexec) { // what is in the way is removed by look
		t.Errorf("others' folders: %v, want ErrNoexec", err)
	}
	in("/var/tmp/ship-1500")
	mounted(t, h, "/var/tmp", "noexec")
	shell(t, h, "rm /dev/shm/ship-1500")
	in("/dev/shm/ship-1500")
	shell(t, h, "rm -rf /dev/shm/ship-1500")
	mounted(t, h, "/dev/shm", "noexec")
	if _, err := look(); !errors.Is(err, ErrNoexec) || !strings.Contains(err.Error(), "/dev/shm/ship-1500") {
		t.Errorf("noexec everywhere: %v", err)
	}
	shell(t, h, "mkdir -p /run/user/1500 && chown deploy: /run/user/1500")
	t.Cleanup(func() { shell(t, h, "rm -r /run/user/1500") })
	in("/run/user/1500/ship")
	shell(t, h, "mount -o remount,ro /home/deploy/.cache; mount -o remount,ro /var/tmp; mount -o remount,ro /dev/shm; chown root: /run/user/1500")
	if _, err := look(); !errors.Is(err, ErrForbidden) {
		t.Errorf("nothing can be written: %v, want ErrForbidden", err)
	}
}

func TestFullDisk(t *testing.T) {
	h := host(t, "h1")
	sh := loginAs(t, h, "deploy")
	mounted(t, h, "/home/deploy/.cache", "size=64k")
	b := helper(t, "# "+strings.Repeat("long ", 50_000))
	f, err := Look(t.Context(), sh, hashes(b))
	must(t, err)
	if _, err := Install(t.Context(), sh, f, b); err == nil || !strings.Contains(err.Error(), "No space left") || errors.Is(err, ErrDamaged) {
		t.Errorf("%v, want what the host says", err)
	}
	if got := shell(t, h, "ls -A ~deploy/.cache/ship"); got != path.Base(f.Dir)+"\n" {
		t.Errorf("left behind: %s", got)
	}
}

// A login that runs no commands, or only one of its own.
func TestRestrictedLogin(t *testing.T) {
	h := host(t, "h1")
	shell(t, h, "printf 'Match User nobody2\\nForceCommand echo only sftp here\\n' >>/etc/ssh/sshd_config"+reload)
	t.Cleanup(func() {
		shell(t, h, "sed -i '/^Match User nobody2/,$d' /etc/ssh/sshd_config"+reload)
	})
	_, err := Look(t.Context(), loginAs(t, h, "nobody2"), hashes(helper(t, "")))
	if !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), "only sftp here") {
		t.Errorf("%v, want ErrForbidden with the host's words", err)
	}
}

// Login shells print, with or without the end of a line.
func TestNoisyLogin(t *testing.T) {
	h := host(t, "h1")
	shell(t, h, "echo 'printf \"\\nWelcome to %s! \" $(hostname); echo >&2 and beware' >~deploy/.bashrc")
	t.Cleanup(func() { shell(t, h, "rm ~deploy/.bashrc") })
	sh := loginAs(t, h, "deploy")
	if out, err := sh.Script(t.Context(), "true", nil, nil); string(out) != "\nWelcome to h1! " || err != nil {
		t.Fatalf("the login prints %q, %v", out, err)
	}
	b := joinable(t)
	f, err := Look(t.Context(), sh, hashes(b))
	must(t, err)
	p := granted(t, h, "deploy", sh, PlaceCommand(f, b))
	gz, err := b.Open()
	must(t, err)
	must(t, PlaceOnPeer(t.Context(), p, gz))
	again, err := Look(t.Context(), sh, hashes(b))
	must(t, err)
	if !again.Present || again.Path != f.Path {
		t.Errorf("found %+v", again)
	}
}
