package chunk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxLinks bounds how many symbolic links a path may go through.
const maxLinks = 40

// makeFolder makes a folder and those above it, and returns its path without links. It walks down from the root, so that
// what it has found cannot be replaced behind it: each part belongs to a trusted user and, but in a sticky folder such as
// /var/tmp, only those it belongs to or lets in by its group may change what is in it. The folder itself is no link.
func makeFolder(dir string, trusted []int) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	top := filepath.VolumeName(abs) + string(filepath.Separator)
	at, parts := top, split(abs)
	for links := 0; len(parts) > 0; {
		next := filepath.Join(at, parts[0])
		parts = parts[1:]
		info, err := makePart(next)
		if err != nil {
			return "", err
		}
		if uid := owner(info); !slices.Contains(trusted, uid) {
			return "", fmt.Errorf("%s belongs to user %d", next, uid)
		}
		switch mode := info.Mode(); {
		case mode&fs.ModeSymlink != 0:
			to, err := os.Readlink(next)
			if err != nil {
				return "", err
			}
			if links++; len(parts) == 0 || links > maxLinks {
				return "", fmt.Errorf("%s is a symbolic link", next)
			}
			if filepath.IsAbs(to) {
				at = top
			}
			parts = append(split(to), parts...)
		case !mode.IsDir():
			return "", fmt.Errorf("%s is not a folder", next)
		case len(parts) > 0 && mode&0o002 != 0 && mode&fs.ModeSticky == 0:
			return "", fmt.Errorf("anybody may change what is in %s", next)
		default:
			at = next
		}
	}
	return at, nil
}

// makePart tells what is there, which is made a folder if nothing is.
func makePart(path string) (fs.FileInfo, error) {
	info, err := os.Lstat(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return info, err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.Lstat(path)
}

func split(path string) []string {
	path = path[len(filepath.VolumeName(path)):]
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == filepath.Separator })
}
