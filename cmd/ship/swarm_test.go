package main_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"ship/internal/event"
	"ship/internal/shiptest/images"
	"ship/internal/shiptest/lab"
)

// The tests of the swarm count what crosses the links between the controller (ctl) and the hosts. Each has layers of
// its own, so that no other test's image holds them, and takes its images away again.

// trio is three hosts with different engines.
var trio = []string{"h1", "h2", "h3"}

// bulk is an image with one large layer of its own: size bytes, which do not get smaller.
func bulk(t *testing.T, ref string, size int64) string {
	t.Helper()
	name, version, _ := strings.Cut(ref, ":")
	return own(t, images.Spec{Ref: ref, Version: version, Layers: []images.Layer{{Name: name, Size: size, Files: 100, Dense: true}}})
}

// own makes an image and sees to it that no host has it when the test is over.
func own(t *testing.T, s images.Spec) string {
	t.Helper()
	src := imageOf(t, s)
	drop(t, s.Ref)
	return src
}

// drop removes images of that name from all hosts at the test's end. What tests before have left goes now: it is not this one's.
func drop(t *testing.T, ref string) {
	t.Helper()
	swept(t)
	t.Cleanup(func() { removeImage(t, ref, everyHost...) })
}

func removeImage(t *testing.T, ref string, hosts ...string) {
	t.Helper()
	for _, h := range hosts {
		// Where it is not, nothing is to be done. The test's context has ended when this cleans up.
		_ = world.lab.Host(bare(h)).Command(context.WithoutCancel(t.Context()), "docker", "rmi", "-f", ref).Run()
	}
}

var sweeps sync.Map // by a test's name: it has swept

// swept removes, once for a test, what tests before it have left on purpose: runs that were killed leave chunks for the
// next run, and keys until they expire.
func swept(t *testing.T) {
	t.Helper()
	if _, done := sweeps.LoadOrStore(t.Name(), true); done {
		return
	}
	for _, name := range []string{"h1", "h2", "h3", "h4"} {
		out, err := world.lab.Host(name).Exec(t.Context(), `
			rm -rf /root/.cache/ship/run-* /home/*/.cache/ship/run-* /root/.cache/ship/chunks/* /home/*/.cache/ship/chunks/*
			for f in /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys; do sed -i -E '/ ship-[0-9a-f]{8}/d' "$f"; done
			docker images --format '{{.Repository}}:{{.Tag}}' | grep ship.invalid | xargs -r docker rmi -f >/dev/null; true`)
		if err != nil {
			t.Fatalf("%s: sweep: %v\n%s", name, err, out)
		}
	}
}

var placing sync.Once

// helpersPlaced pushes an image that is worth a helper to every host, so that what is counted afterwards is the image.
func helpersPlaced(t *testing.T) {
	t.Helper()
	placing.Do(func() {
		push(t, append([]string{bulk(t, "place:v1", 8<<20)}, everyHost...)...)
		removeImage(t, "place:v1", everyHost...)
	})
}

// sent does something and returns how many bytes went from the controller to all hosts meanwhile.
func sent(t *testing.T, do func()) int64 {
	t.Helper()
	if err := world.lab.ResetCounters(t.Context()); err != nil {
		t.Fatal(err)
	}
	do()
	n, err := world.lab.Sent(t.Context(), lab.Controller, "")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// largest is what one host took: of a first push, the image once, compressed.
func (p pushed) largest() int64 {
	var n int64
	for _, h := range p.Hosts {
		n = max(n, h.Bytes)
	}
	return n
}

const control = 64 << 10 // bytes that are not layers, for one host: SSH's own words, questions, configs, digests

// nothingLeft fails if a run has left a program, a folder, a key or a chunk on a host.
func nothingLeft(t *testing.T, hosts ...string) {
	t.Helper()
	for _, name := range hosts {
		var out string
		var err error
		for range 20 { // a helper ends just after the connection does
			out, err = world.lab.Host(bare(name)).Exec(t.Context(), `
				pgrep -af 'ship-helper.* (serve|join) '
				ls -d /root/.cache/ship/run-* /home/*/.cache/ship/run-* /tmp/ship-run-* 2>/dev/null
				grep -HE ' ship-[0-9a-f]{8}' /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys
				find /root/.cache/ship/chunks /home/*/.cache/ship/chunks -type f 2>/dev/null
				docker images --format '{{.Repository}}:{{.Tag}}' | grep ship.invalid; true`)
			if err == nil && out == "" {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err != nil || out != "" {
			t.Errorf("%s: left: %v\n%s", name, err, out)
		}
	}
}

// runs fails unless a container of the image answers on each host. Only a whole image does.
func runs(t *testing.T, ref string, hosts ...string) {
	t.Helper()
	for _, name := range hosts {
		out, err := world.lab.Host(bare(name)).Exec(t.Context(), fmt.Sprintf(
			"docker run -d --name swarm-run %s >/dev/null && sleep 0.3 && docker inspect -f '{{.State.Running}}' swarm-run; docker rm -f swarm-run >/dev/null; docker save %s | tar -t >/dev/null", ref, ref))
		if err != nil || out != "true\n" {
			t.Errorf("%s: run %s: %q %v", name, ref, out, err)
		}
	}
}

// uplinkAt is true once n bytes of layers have left the controller.
func uplinkAt(n int64) func(event.Event) bool {
	return func(e event.Event) bool { return e.Type == event.Total && e.Uplink >= n }
}

// withCache gives a command an empty cache of its own, as on another machine.
func withCache(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	cmd.Env = append(cmd.Env, "SHIP_CACHE="+t.TempDir())
	return cmd
}

// limit bounds what the controller sends until the test's end.
func limit(t *testing.T, r lab.Rate) {
	t.Helper()
	if err := world.lab.Limit(t.Context(), r, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := world.lab.Limit(context.WithoutCancel(t.Context()), 0, 0); err != nil {
			t.Error(err)
		}
	})
}

// TestSwarmSendsOnce: the image leaves the controller once, whatever engines the hosts have, and nothing stays behind.
func TestSwarmSendsOnce(t *testing.T) {
	helpersPlaced(t)
	src := bulk(t, "once:v1", 20<<20)
	var p pushed
	n := sent(t, func() { p = push(t, append([]string{src}, trio...)...) })
	if most := p.largest()*102/100 + int64(len(trio))*control; n > most || p.largest() < 12<<20 {
		t.Errorf("the controller sent %d bytes, want at most %d: %+v", n, most, p)
	}
	t.Logf("%d bytes sent for %d of layers", n, p.largest())
	runs(t, "once:v1", trio...)
	nothingLeft(t, trio...)
}

// TestHelperLeavesOnce: hosts that have no helper get it from the first of them. On a busy machine chunks are sent again
// that seem lost; a second helper would still show.
func TestHelperLeavesOnce(t *testing.T) {
	helpersPlaced(t)
	var size int64
	for _, name := range trio {
		out, err := world.lab.Host(name).Exec(t.Context(), "gzip -1 -c /root/.cache/ship/ship-helper-* | wc -c; rm /root/.cache/ship/ship-helper-*")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(out, &size); err != nil {
			t.Fatal(err)
		}
	}
	src := bulk(t, "carry:v1", 16<<20)
	var p pushed
	n := sent(t, func() { p = push(t, append([]string{src}, trio...)...) })
	if most := size*18/10 + p.largest() + int64(len(trio))*control; n > most {
		t.Errorf("the controller sent %d bytes, want at most %d for a helper of %d and layers of %d", n, most, size, p.largest())
	}
	t.Logf("%d bytes sent for a helper of %d and layers of %d", n, size, p.largest())
	for _, name := range trio {
		if _, err := world.lab.Host(name).Exec(t.Context(), "ls /root/.cache/ship/ship-helper-*"); err != nil {
			t.Error(err)
		}
	}
	nothingLeft(t, trio...)
}

// TestSeed: what a host has is sent by that host.
func TestSeed(t *testing.T) {
	helpersPlaced(t)
	src := bulk(t, "seeded:v1", 12<<20)
	mustShip(t, 0, "push", src, "h1")
	n := sent(t, func() { mustShip(t, 0, "seed", "seeded:v1", "--from", "h1", "--to", "h2", "--to", "h3") })
	if n > control+3*control {
		t.Errorf("seed: the controller sent %d bytes", n)
	}
	runs(t, "seeded:v1", "h2", "h3")
	nothingLeft(t, trio...)
	removeImage(t, "seeded:v1", "h1", "h3") // now the containerd store is the one that has it
	n2 := sent(t, func() { mustShip(t, 0, append([]string{"push", src}, trio...)...) })
	if n2 > control+3*control {
		t.Errorf("a push to a fleet of which one host has the image: the controller sent %d bytes", n2)
	}
	t.Logf("seed: %d bytes, push: %d bytes", n, n2)
	runs(t, "seeded:v1", trio...)
	nothingLeft(t, trio...)
}

// TestSeedWithoutCache: a machine with nothing in its cache seeds what it never had.
func TestSeedWithoutCache(t *testing.T) {
	helpersPlaced(t)
	mustShip(t, 0, "push", bulk(t, "foreign:v1", 12<<20), "h2")
	n := sent(t, func() {
		if o := finish(t, withCache(t, command(t, "seed", "foreign:v1", "--from", "h2", "--to", "h1"))); o.code != 0 {
			t.Error(o)
		}
	})
	if n > 3*control {
		t.Errorf("the controller sent %d bytes", n)
	}
	runs(t, "foreign:v1", "h1")
	nothingLeft(t, "h1", "h2")
}
