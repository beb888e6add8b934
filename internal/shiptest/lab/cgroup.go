//go:build linux

package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// cgroups are the control group hierarchies of the machine: one (v2), or one for each controller (v1).
type cgroups []hierarchy

type hierarchy struct {
	path    string // where it is mounted
	unified bool   // cgroup v2
	options string // mounts a v1 hierarchy again: its controllers, or its name
}

// findCgroups reads a mount table. A machine with v1 controllers is a v1 machine to Docker, whatever else is mounted.
func findCgroups(mounts string) (cgroups, error) {
	f, err := os.Open(mounts)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var cg cgroups
	var v2 string
	for s := bufio.NewScanner(f); s.Scan(); {
		m := strings.Fields(s.Text())
		if len(m) < 4 {
			continue
		}
		switch m[2] {
		case "cgroup":
			h := hierarchy{path: m[1], options: controllers(m[3])}
			if !slices.ContainsFunc(cg, func(seen hierarchy) bool { return seen.options == h.options }) { // mounted twice
				cg = append(cg, h)
			}
		case "cgroup2":
			v2 = first(v2, m[1])
		}
	}
	if len(cg) > 0 {
		return cg, nil
	}
	if v2 == "" {
		return nil, errors.New("lab: this machine has no cgroups mounted")
	}
	return cgroups{{path: v2, unified: true}}, nil
}

// controllers strips what belongs to a mount, not to its hierarchy.
func controllers(options string) string {
	all := strings.Split(options, ",")
	return strings.Join(slices.DeleteFunc(all, func(o string) bool {
		switch o {
		case "rw", "ro", "nosuid", "nodev", "noexec", "relatime", "noatime", "xattr", "clone_children", "seclabel":
			return true
		}
		return strings.HasPrefix(o, "release_agent=")
	}), ",")
}

func (cg cgroups) v2() bool { return cg[0].unified }

// create makes a group of a lab's group in every hierarchy.
func (cg cgroups) create(labGroup, host string) error {
	for _, h := range cg {
		parent := filepath.Join(h.path, labGroup)
		dir := filepath.Join(parent, host)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if h.unified {
			delegate(h.path)
			delegate(parent)
			continue
		}
		if strings.Contains(h.options, "cpuset") { // a new cpuset is empty and takes no process
			for _, d := range []string{parent, dir} {
				if err := fillCpuset(h.path, d); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// delegate hands all controllers of a v2 group on to its children. One that cannot be handed on (a container's
// root holds processes) is left out: dockerd works without.
func delegate(dir string) {
	b, _ := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	for c := range strings.FieldsSeq(string(b)) {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0o644)
	}
}

func fillCpuset(root, dir string) error {
	for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
		b, err := os.ReadFile(filepath.Join(root, f))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, f), b, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// procs are the files that take a pid into the group of a host. Below v2 a group with children holds no
// processes, so those of a host are in its group init.
func (cg cgroups) procs(group string, running bool) []string {
	var files []string
	for _, h := range cg {
		dir := filepath.Join(h.path, group)
		if h.unified && running {
			dir = filepath.Join(dir, "init")
		}
		files = append(files, filepath.Join(dir, "cgroup.procs"))
	}
	return files
}

func (cg cgroups) join(pid int, group string) error {
	for _, f := range cg.procs(group, false) {
		if err := os.WriteFile(f, []byte(strconv.Itoa(pid)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// pids are all processes of a group and of the groups below it, those of containers included.
func (cg cgroups) pids(group string) []int {
	var pids []int
	_ = filepath.WalkDir(filepath.Join(cg.one("pids"), group), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return nil // groups come and go meanwhile
		}
		b, _ := os.ReadFile(path)
		for p := range strings.FieldsSeq(string(b)) {
			if n, err := strconv.Atoi(p); err == nil {
				pids = append(pids, n)
			}
		}
		return nil
	})
	return pids
}

// one is the mount point of the hierarchy that has the controller, else of the first.
func (cg cgroups) one(controller string) string {
	for _, h := range cg {
		if slices.Contains(strings.Split(h.options, ","), controller) {
			return h.path
		}
	}
	return cg[0].path
}

// freeze stops all processes of a group, or lets them go on, and returns when that is so.
func (cg cgroups) freeze(ctx context.Context, group string, frozen bool) error {
	file, word, state, want := "freezer.state", "THAWED", "freezer.state", "THAWED"
	if frozen {
		word, want = "FROZEN", "FROZEN"
	}
	if cg.v2() {
		file, word, state, want = "cgroup.freeze", "0", "cgroup.events", "frozen 0"
		if frozen {
			word, want = "1", "frozen 1"
		}
	}
	dir := filepath.Join(cg.one("freezer"), group)
	if err := os.WriteFile(filepath.Join(dir, file), []byte(word), 0o644); err != nil {
		return err
	}
	return until(ctx, func() bool {
		b, err := os.ReadFile(filepath.Join(dir, state))
		return err != nil || strings.Contains(string(b), want)
	})
}

// frozen says whether freeze holds the group.
func (cg cgroups) frozen(group string) bool {
	file, want := "freezer.state", "FROZEN"
	if cg.v2() {
		file, want = "cgroup.freeze", "1"
	}
	b, err := os.ReadFile(filepath.Join(cg.one("freezer"), group, file))
	return err == nil && strings.TrimSpace(string(b)) == want
}

// remove takes away a group and all below it; the kernel lets go of an emptied group a moment late.
func (cg cgroups) remove(ctx context.Context, group string) error {
	for _, h := range cg {
		root := filepath.Join(h.path, group)
		err := until(ctx, func() bool {
			removeTree(root)
			_, err := os.Lstat(root)
			return errors.Is(err, fs.ErrNotExist)
		})
		if err != nil {
			return fmt.Errorf("remove cgroup %s: %w", root, err)
		}
	}
	return nil
}

// removeTree removes the folders of a group, deepest first: its files go with them.
func removeTree(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			removeTree(filepath.Join(dir, e.Name()))
		}
	}
	_ = os.Remove(dir)
}
