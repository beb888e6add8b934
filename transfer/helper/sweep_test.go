package helper

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSweep(t *testing.T) {
	base := t.TempDir()
	folder := func(name string) string {
		d := filepath.Join(base, name)
		if err := os.MkdirAll(filepath.Join(d, "layers"), 0o700); err != nil {
			t.Fatal(err)
		}
		return d
	}
	own, alive, dead := folder("run-own"), folder("run-alive"), folder("run-dead")
	starting, forgotten, foreign := folder("run-starting"), folder("run-forgotten"), folder("cache")
	l, err := listen(alive)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	killed, err := listen(dead)
	if err != nil {
		t.Fatal(err)
	}
	killed.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := killed.Close(); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-startTime - time.Minute)
	for _, d := range []string{forgotten, foreign, alive, own} {
		if err := os.Chtimes(d, old, old); err != nil {
			t.Fatal(err)
		}
	}
	sweep(own, time.Now())
	for d, want := range map[string]bool{own: true, alive: true, dead: false, starting: true, forgotten: false, foreign: true} {
		if _, err := os.Stat(d); (err == nil) != want {
			t.Errorf("%s: %v, want it to be there: %v", filepath.Base(d), err, want)
		}
	}
}
