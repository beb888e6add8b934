package peer

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"ship/transfer/chunk"
)

// A disk that is full ends the asking for a blob, not the link, and is told once.
func TestFullDisk(t *testing.T) {
	c := newContent(1, 12*chunk.Size)
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", 4*chunk.Size)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		defer f.close()
		h, other := f.hosts[0], f.hosts[1]
		store, err := chunk.Open(dir, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.store.Close(); err != nil {
			t.Fatal(err)
		}
		h.store = store
		for _, x := range f.hosts {
			x.want(1, c)
		}
		f.link(h, other, nil)
		for i := range c.chunks() {
			other.put(1, c, i)
		}
		synctest.Wait()
		h.mu.Lock()
		err = h.failed[1]
		h.mu.Unlock()
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("failed with: %v", err)
		}
		if n := h.blobs[1].Count(); n < 2 || n > 4 {
			t.Errorf("%d chunks on a disk of 4", n)
		}
		time.Sleep(time.Minute)
		if len(f.ended) > 0 {
			t.Errorf("the link ended: %v", f.ended)
		}
	})
}
