package main_test

import (
	"context"
	"os"
	"testing"

	"ship/internal/shiptest/lab"
)

// fillDisk takes all room but about a megabyte on the disk that a folder of the host is on, until free is called.
func fillDisk(t *testing.T, host, folder, filler string) (free func()) {
	t.Helper()
	t.Cleanup(func() {
		if out, err := world.lab.Host(host).Exec(context.WithoutCancel(t.Context()), "rm -f "+filler); err != nil {
			t.Error(err, out)
		}
	})
	script(t, host, "fallocate -l $(($(df --output=avail -k "+folder+" | tail -n 1) - 1024))K "+filler)
	return func() { script(t, host, "rm -f "+filler) }
}

// TestDiskFillsWhileSending: something else takes the room on a host while chunks arrive. That host fails and says why, the
// other one gets the image; once there is room again, only what is missing is sent, and nothing stays behind.
func TestDiskFillsWhileSending(t *testing.T) {
	helpersPlaced(t)
	const size = 24 << 20
	src := bulk(t, "fills:v1", size)
	limit(t, 24*lab.Mbit)
	var free func()
	o := follow(t, command(t, "push", src, "h1", "h4"), uplinkAt(size/2), func(*os.Process) {
		free = fillDisk(t, "h4", "/root", "/root/filler")
	})
	if o.code != 1 {
		t.Error(o)
	}
	wants(t, o.stderr, "h4: send: no space left on the host's disk", "hint: make room on the host")
	runs(t, "fills:v1", "h1")
	free()
	n := sent(t, func() { mustShip(t, 0, "push", src, "h4") })
	if n > size*6/10 {
		t.Errorf("the second run sent %d bytes", n)
	}
	t.Logf("%s, and %d bytes in the second run", o, n)
	runs(t, "fills:v1", "h4")
	nothingLeft(t, "h1", "h4")
}

// TestChunkDiskFills: the disk that fills is not the engine's, which gets the image without chunks.
func TestChunkDiskFills(t *testing.T) {
	swept(t)
	const folders = "/root/.cache /var/tmp"
	script(t, "h2", "for d in "+folders+"; do mkdir -p $d; mount -t tmpfs -o size=48m none $d; done")
	t.Cleanup(func() {
		if out, err := world.lab.Host("h2").Exec(context.WithoutCancel(t.Context()), "umount "+folders); err != nil {
			t.Error(err, out)
		}
	})
	const size = 24 << 20
	src := bulk(t, "spools:v1", size)
	limit(t, 40*lab.Mbit)
	o := follow(t, command(t, "push", src, "h2"), uplinkAt(size/2), func(*os.Process) {
		fillDisk(t, "h2", "/root/.cache", "/root/.cache/filler")
	})
	if o.code != 0 {
		t.Error(o)
	}
	wants(t, o.stdout, "trying without a helper", "no space left")
	runs(t, "spools:v1", "h2")
	nothingLeft(t, "h2")
}
