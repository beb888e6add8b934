package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// inFolder prepares a run in a folder that has a configuration.
func inFolder(t *testing.T, config string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := command(t, args...)
	if err := os.WriteFile(filepath.Join(cmd.Dir, "ship.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// TestPushKeepsGroups: hosts that a configuration keeps apart do not feed each other either when they are named by hand.
func TestPushKeepsGroups(t *testing.T) {
	helpersPlaced(t)
	const size = 8 << 20 // with the app that is in the image, 11 MB
	apart := "service: apart\nimage: docker-archive:none.tar\nservers: [h1, h3]\ntransfer: { groups: { eu: [h1], us: [h3] } }\nproxy: { host: apart.test, app_port: 3000 }\n"
	src := bulk(t, "groups:v1", size)
	file := filepath.Join(t.TempDir(), "groups.bundle")
	mustShip(t, 0, "bundle", "export", src, "-o", file)
	elsewhere := filepath.Join(t.TempDir(), "other.yaml")
	if err := os.WriteFile(elsewhere, []byte(apart), 0o600); err != nil {
		t.Fatal(err)
	}
	hosts := []string{"root@h1", "sudoer@h3"}
	for name, cmd := range map[string]*exec.Cmd{
		"push":                 inFolder(t, apart, append([]string{"push", src}, hosts...)...),
		"push -c":              command(t, append([]string{"push", "-c", elsewhere, src}, hosts...)...),
		"bundle import":        inFolder(t, apart, append([]string{"bundle", "import", file}, hosts...)...),
		"bundle import to all": inFolder(t, apart, "bundle", "import", file),
	} {
		t.Run(name, func(t *testing.T) {
			n := sent(t, func() {
				if o := finish(t, cmd); o.code != 0 {
					t.Error(o)
				}
			})
			if n < 2*size {
				t.Errorf("%d bytes sent: one host was fed by the other", n)
			}
			removeImage(t, "groups:v1", hosts...)
		})
	}
	together := sent(t, func() { mustShip(t, 0, append([]string{"push", src}, hosts...)...) })
	if together >= 2*size {
		t.Errorf("%d bytes sent without a configuration", together)
	}
	nothingLeft(t, "h1", "h3")
}

// TestPushBesideBrokenConfig: what happens to lie in the folder does not keep anybody from pushing; what was named does.
func TestPushBesideBrokenConfig(t *testing.T) {
	const broken = "service: ${NOBODY_SETS_THIS:?is needed}\ntransfer: { relay: maybe }\n"
	src := image(t, "beside:v1")
	o := finish(t, inFolder(t, broken, "push", "--dry-run", src, "h1"))
	if o.code != 0 {
		t.Error(o)
	}
	wants(t, o.stderr, "the transfer settings of ship.yaml do not count", "is needed")
	if o = finish(t, inFolder(t, broken, "push", "--dry-run", "-c", "ship.yaml", src, "h1")); o.code != 80 {
		t.Error(o)
	}
}
