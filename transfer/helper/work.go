package helper

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// workPrefix begins the name of a folder for the layers that one run unpacks or packs. It lies in the chunk store, which
// leaves it alone: the run's own folder is where a program can be run, which may be only in memory, while layers take
// gigabytes.
const workPrefix = "work-"

// workAge is how old a folder is that no run uses any more: one that was killed has left it.
const workAge = 48 * time.Hour

// makeWork makes a folder for layers in a store's folder, and removes what runs have left there.
func makeWork(store string) (string, error) {
	entries, err := os.ReadDir(store)
	if err != nil {
		return "", fmt.Errorf("make a folder for layers: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.IsDir() && strings.HasPrefix(e.Name(), workPrefix) && time.Since(info.ModTime()).Abs() > workAge { // clocks jump
			_ = os.RemoveAll(filepath.Join(store, e.Name())) // the next run tries again
		}
	}
	dir, err := os.MkdirTemp(store, workPrefix)
	if err != nil {
		return "", fmt.Errorf("make a folder for layers: %w", err)
	}
	return dir, nil
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
