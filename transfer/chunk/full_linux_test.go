package chunk

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"
)

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", 4*Size)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s := openStore(t, dir)
	keep(t, s, dir, "earlier", 2, time.Hour)
	p, sums := content(9, 6*Size)
	b := openBlob(t, s, "a")
	announce(t, b, sums, len(p))
	put(t, b, p, 0, 1, 2) // more than is free beside the earlier blob, which makes room
	if got := names(t, dir); slices.Contains(got, "earlier"+dataSuffix) {
		t.Errorf("the unused blob did not make room: %v", got)
	}
	var err error
	for i := 3; i < 6 && err == nil; i++ {
		_, err = b.Put(i, piece(p, i))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("on a full disk: %v", err)
	}
	b = reopen(t, b)
	if n := announce(t, b, sums, len(p)); n < 3 || n == 6 {
		t.Errorf("%d chunks held after the disk was full", n)
	}
	b.Close()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
