//go:build linux

package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// upInChild makes the test binary bring up the lab that it names (folder/id), say so, and wait to be killed.
const upInChild = "SHIPLAB_TEST_UP"

func upAndWait(where string) {
	dir, id := filepath.Split(where)
	l, err := Up(context.Background(), Options{Dir: dir, ID: id, Hosts: []HostOptions{{Engine: "trixie", Disk: "200M"}, {Engine: "bookworm"}}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("up", l.ID)
	time.Sleep(time.Hour)
}

// TestCrash kills the owner of a lab at several moments of its making and at its end.
func TestCrash(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/var/lib", "ship-lab-test-") // on a disk, unlike /tmp on some machines
	ok(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	id := fmt.Sprintf("cr%d", os.Getpid())
	const ms = time.Millisecond
	for _, after := range []time.Duration{20 * ms, 60 * ms, 120 * ms, 250 * ms, 500 * ms, 900 * ms, 0} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			child := exec.CommandContext(t.Context(), "/proc/self/exe")
			child.Env = append(os.Environ(), upInChild+"="+filepath.Join(dir, id))
			child.Stderr = t.Output()
			out, err := child.StdoutPipe()
			ok(t, err)
			ok(t, child.Start())
			if after > 0 {
				time.Sleep(after)
			} else if _, err := out.Read(make([]byte, 64)); err != nil { // "up"
				t.Errorf("child: %v", err)
			}
			ok(t, child.Process.Signal(syscall.SIGKILL))
			_ = child.Wait() // killed
			wantHostsGone(t, id)
			ok(t, Sweep(t.Context(), dir))
			wantNothingLeft(t, dir, id)
		})
	}
}

// wantHostsGone gives hosts whose owner died five seconds to notice.
func wantHostsGone(t *testing.T, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var left []string
	if until(ctx, func() bool { left = processesOf(id); return len(left) == 0 }) != nil {
		t.Errorf("hosts outlive their owner: %v", left)
	}
}

// TestSweepSpares sees to it that the labs of the living stay.
func TestSweepSpares(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	self, err := process(os.Getpid())
	ok(t, err)
	for id, r := range map[string]record{"living": {Owner: self}, "kept": {Keep: true}, "reboot": {Owner: owner{PID: self.PID, Start: self.Start, Boot: "another"}}} {
		r.ID, r.Subnet = id, nothing
		ok(t, os.MkdirAll(filepath.Join(dir, id), 0o755))
		ok(t, r.write(filepath.Join(dir, id)))
	}
	ok(t, os.MkdirAll(filepath.Join(dir, "torn"), 0o755))
	ok(t, Sweep(t.Context(), dir))
	if got := strings.Join(IDs(dir), " "); got != "kept living" {
		t.Errorf("after the sweep there are %q, want the kept and the living", got)
	}
}

// processesOf lists the processes in any cgroup of the lab.
func processesOf(id string) []string {
	var left []string
	files, _ := filepath.Glob("/proc/[0-9]*/cgroup") // the pattern is well formed
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte("/ship-lab-"+id+"/")) {
			name, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
			left = append(left, filepath.Dir(f)+" "+strings.ReplaceAll(string(name), "\x00", " "))
		}
	}
	return left
}

// wantNothingLeft looks for every kind of thing that a lab makes.
func wantNothingLeft(t *testing.T, dir, id string) {
	t.Helper()
	left := processesOf(id)
	for _, pattern := range []string{filepath.Join(dir, id), "/run/netns/" + id + "-*", "/sys/fs/cgroup/ship-lab-" + id, "/sys/fs/cgroup/*/ship-lab-" + id} {
		files, err := filepath.Glob(pattern)
		ok(t, err)
		left = append(left, files...)
	}
	links, err := net.Interfaces()
	ok(t, err)
	for _, l := range links {
		if strings.HasPrefix(l.Name, id+"-") {
			left = append(left, "link "+l.Name)
		}
	}
	for _, pattern := range []string{"/proc/[0-9]*/mountinfo", "/sys/block/loop*/loop/backing_file"} {
		files, err := filepath.Glob(pattern)
		ok(t, err)
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(filepath.Join(dir, id)+"/")) {
				left = append(left, f)
			}
		}
	}
	if len(left) > 0 {
		t.Errorf("left of lab %s:\n%s", id, strings.Join(left, "\n"))
	}
}
