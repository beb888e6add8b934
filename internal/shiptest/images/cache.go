//go:build linux

package images

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// CacheDir is where images keep what is costly to make: dir, else images in SHIPLAB_CACHE, else in /var/cache/ship-lab.
func CacheDir(dir string) string {
	return cmp.Or(dir, filepath.Join(cmp.Or(os.Getenv("SHIPLAB_CACHE"), "/var/cache/ship-lab"), "images"))
}

// cached returns the blobs of those names in the folder; if one of them is missing it makes them all. Two makers wait
// for each other.
func cached(dir string, names []string, produce func() error) ([]*blob, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	blobs, err := openBlobs(dir, names)
	if !errors.Is(err, fs.ErrNotExist) {
		return blobs, err
	}
	if err := produce(); err != nil {
		return nil, err
	}
	return openBlobs(dir, names)
}

func openBlobs(dir string, names []string) ([]*blob, error) {
	var all []*blob
	for _, n := range names {
		b, err := openBlob(blobPath(dir, n))
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

func blobPath(dir, name string) string { return filepath.Join(dir, name+".tar.gz") }

// lockFolder waits until nobody else in the machine holds the folder.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.Create(filepath.Join(dir, ".lock"))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}
