//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// spec is what pid 1 of a host is told by its maker, in the file spec.json of the host's folder.
type spec struct {
	Name   string `json:"name"`
	CIDR   string `json:"cidr"`   // address and length of the network
	Engine string `json:"engine"` // root file system below the overlay
	Keep   bool   `json:"keep"`   // outlives its owner
	Disk   bool   `json:"disk"`   // data is the disk image beside it
}

const specFile = "spec.json"

func readSpec(dir string) (spec, error) {
	var s spec
	b, err := os.ReadFile(filepath.Join(dir, specFile))
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	return s, err
}

// mount is one call of mount(2).
type mount struct {
	source, target, kind string
	flags                uintptr
	data                 string
}

func (m mount) do() error {
	if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
		return fmt.Errorf("mount %s (%s) at %s: %w", m.source, m.kind, m.target, err)
	}
	return nil
}

// furnish turns new, empty namespaces into a machine: name, network, root file system. Nothing of it is seen outside,
// and all of it goes with the last process of the host.
func (s spec) furnish(dir string) error {
	ctx := context.Background() // pid 1 is a program of its own
	if err := (mount{"", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""}).do(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(s.Name)); err != nil {
		return fmt.Errorf("set hostname: %w", err)
	}
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"addr", "add", s.CIDR, "dev", "eth0"},
		{"link", "set", "eth0", "up"},
	} {
		if _, err := run(ctx, "", "ip", args...); err != nil {
			return err
		}
	}
	if s.Disk {
		if _, err := run(ctx, "", "mount", "-o", "loop", filepath.Join(dir, "disk.img"), filepath.Join(dir, "data")); err != nil {
			return err
		}
	}
	root := filepath.Join(dir, "root")
	for _, step := range []func() error{
		func() error { return s.mountRoot(dir, root) },
		func() error { return mountDev(filepath.Join(root, "dev")) },
		func() error { return mountCgroups(filepath.Join(root, "sys/fs/cgroup")) },
		func() error { return enter(root) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return os.MkdirAll("/run/sshd", 0o755)
}

// mountRoot mounts the overlay and what lies on plain disk: Docker's own overlays cannot lie on an overlay.
func (s spec) mountRoot(dir, root string) error {
	data := filepath.Join(dir, "data")
	if err := emptyDir(filepath.Join(data, "tmp")); err != nil {
		return err
	}
	layers := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", s.Engine, filepath.Join(data, "upper"), filepath.Join(data, "work"))
	mounts := []mount{
		{"ship-lab", root, "overlay", 0, layers},
		{"proc", filepath.Join(root, "proc"), "proc", 0, ""},
		{"sysfs", filepath.Join(root, "sys"), "sysfs", 0, ""},
		{"tmpfs", filepath.Join(root, "run"), "tmpfs", 0, "mode=755"},
		{"tmpfs", filepath.Join(root, "dev"), "tmpfs", 0, "mode=755,size=1m"},
	}
	for from, to := range map[string]string{"docker": "var/lib/docker", "containerd": "var/lib/containerd", "tmp": "tmp"} {
		mounts = append(mounts, mount{filepath.Join(data, from), filepath.Join(root, to), "", unix.MS_BIND, ""})
	}
	for _, m := range mounts {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := m.do(); err != nil {
			return err
		}
	}
	return nil
}

// emptyDir removes what is in dir, as a boot does with /tmp.
func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

func mountDev(dev string) error {
	for _, d := range []string{"pts", "shm", "net", "mqueue"} {
		if err := os.Mkdir(filepath.Join(dev, d), 0o755); err != nil {
			return err
		}
	}
	if err := (mount{"devpts", dev + "/pts", "devpts", 0, "newinstance,ptmxmode=666,mode=620,gid=5"}).do(); err != nil {
		return err
	}
	if err := (mount{"tmpfs", dev + "/shm", "tmpfs", 0, "mode=1777"}).do(); err != nil {
		return err
	}
	_ = mount{"mqueue", dev + "/mqueue", "mqueue", 0, ""}.do() // not every kernel has it, containers go without
	for link, to := range map[string]string{"ptmx": "pts/ptmx", "fd": "/proc/self/fd",
		"stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(to, filepath.Join(dev, link)); err != nil {
			return err
		}
	}
	// Bound, not made: where the lab itself runs in a sandbox, mknod is often forbidden.
	for _, n := range []string{"null", "zero", "full", "random", "urandom", "tty", "fuse", "net/tun", "kmsg"} {
		if _, err := os.Stat("/dev/" + n); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := os.WriteFile(filepath.Join(dev, n), nil, 0o666); err != nil {
			return err
		}
		if err := (mount{"/dev/" + n, filepath.Join(dev, n), "", unix.MS_BIND, ""}).do(); err != nil {
			return err
		}
	}
	return nil
}

// mountCgroups mounts the hierarchies of the machine anew; the cgroup namespace shows the host its own group as root.
func mountCgroups(dir string) error {
	cg, err := findCgroups("/proc/mounts")
	if err != nil {
		return err
	}
	if cg.v2() {
		if err := (mount{"cgroup2", dir, "cgroup2", 0, ""}).do(); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(dir, "init"), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "init", "cgroup.procs"), []byte("1"), 0o644); err != nil {
			return err
		}
		delegate(dir)
		return nil
	}
	if err := (mount{"tmpfs", dir, "tmpfs", 0, "mode=755"}).do(); err != nil {
		return err
	}
	for _, h := range cg {
		at := filepath.Join(dir, filepath.Base(h.path))
		if err := os.Mkdir(at, 0o755); err != nil {
			return err
		}
		if err := (mount{"cgroup", at, "cgroup", 0, h.options}).do(); err != nil {
			return err
		}
	}
	return nil
}

// enter makes root the root directory and lets go of the machine's.
func enter(root string) error {
	old := filepath.Join(root, "run", "old")
	if err := os.Mkdir(old, 0o700); err != nil {
		return err
	}
	if err := unix.PivotRoot(root, old); err != nil {
		return fmt.Errorf("pivot root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/run/old", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the machine's root: %w", err)
	}
	return os.Remove("/run/old")
}
