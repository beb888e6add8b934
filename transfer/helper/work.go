package helper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// workPrefix begins the name of a folder for the layers that one run unpacks or packs. It lies in the chunk store, which
// leaves it alone: the run's own folder is where a program can be run, which may be only in memory, while layers take
// gigabytes.
const workPrefix = "work-"

// work is such a folder. Its lock says that its run lives; the system drops it with the process.
type work struct {
	dir  string
	lock *os.File
}

// makeWork makes a folder for layers in a store's folder, and removes what killed runs have left there.
func makeWork(store string) (*work, error) {
	entries, err := os.ReadDir(store)
	if err != nil {
		return nil, fmt.Errorf("make a folder for layers: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), workPrefix) {
			continue
		}
		if old, err := lockWork(filepath.Join(store, e.Name())); err == nil {
			old.remove()
		}
	}
	for range 3 { // another run may take a folder for left behind that is not locked yet
		dir, err := os.MkdirTemp(store, workPrefix)
		if err != nil {
			return nil, fmt.Errorf("make a folder for layers: %w", err)
		}
		w, err := lockWork(dir)
		if err == nil {
			return w, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, fs.ErrNotExist) {
			// The file system knows no locks: nobody takes the folder for left behind, and it stays if this run is killed.
			return &work{dir: dir}, nil
		}
	}
	return nil, errors.New("make a folder for layers: other runs take each away")
}

// lockWork takes a folder, if nobody has it.
func lockWork(dir string) (*work, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		_, err = os.Lstat(dir) // who had the lock before may have removed it
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	return &work{dir, f}, nil
}

// remove takes the folder away; what stays is the next run's to remove.
func (w *work) remove() {
	_ = os.RemoveAll(w.dir)
	if w.lock != nil {
		_ = w.lock.Close()
	}
}

// onDiskFirst puts folders in memory behind the others, whose order stays.
func onDiskFirst(dirs []string) []string {
	var disk, memory []string
	for _, d := range dirs {
		if inMemory(nearest(d)) {
			memory = append(memory, d)
		} else {
			disk = append(disk, d)
		}
	}
	return slices.Concat(disk, memory)
}

// nearest is the folder itself or the first above it that is there.
func nearest(dir string) string {
	for {
		up := filepath.Dir(dir)
		if _, err := os.Stat(dir); err == nil || up == dir {
			return dir
		}
		dir = up
	}
}
