package helper

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// startTime is how long a helper may take from the making of its folder to its socket.
const startTime = 10 * time.Minute

// sweep removes the folders beside dir that helpers left which were killed, or whose host lost power: there may be whole
// layers in them. A helper that lives listens on its socket.
func sweep(dir string, now time.Time) {
	dir = filepath.Clean(dir)
	name := filepath.Base(dir)
	prefix := name[:strings.LastIndexByte(name, '-')+1]
	if prefix == "" {
		return // not named by place.Look
	}
	entries, err := os.ReadDir(filepath.Dir(dir))
	if err != nil {
		return // there is another try in the next run
	}
	for _, e := range entries {
		if !e.IsDir() || e.Name() == name || !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		other := filepath.Join(filepath.Dir(dir), e.Name())
		c, err := net.Dial("unix", filepath.Join(other, SocketName))
		switch info, _ := e.Info(); {
		case err == nil:
			_ = c.Close() // it only takes this for a program that ends before it greets
		case errors.Is(err, syscall.ECONNREFUSED) && refusesStill(other),
			errors.Is(err, os.ErrNotExist) && info != nil && now.Sub(info.ModTime()) > startTime:
			_ = os.RemoveAll(other)
		}
	}
}

// refusesStill: the socket of a helper that is just starting refuses too, between its making and its listening.
func refusesStill(dir string) bool {
	time.Sleep(200 * time.Millisecond)
	c, err := net.Dial("unix", filepath.Join(dir, SocketName))
	if err == nil {
		_ = c.Close() // as above
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
