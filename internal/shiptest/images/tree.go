package images

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// tree is a folder whose files go into a layer.
type tree struct {
	root string
	at   string                                // where they lie in the image, "" or "usr/local/"
	pick func(name string, d fs.DirEntry) bool // which of them; the name is relative to the root
	more func(name string) string              // what is appended to a file; may be nil
}

// write adds the files to a layer, in the order of their names, with owner and mode. Devices and sockets are left
// out, as are the contents of folders that an engine mounts over.
func (t tree) write(w *tar.Writer) error {
	return filepath.WalkDir(t.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(t.root, path)
		if err != nil || name == "." {
			return err
		}
		if top, _, below := strings.Cut(name, "/"); below && slices.Contains([]string{"dev", "proc", "sys", "run", "tmp"}, top) {
			return fs.SkipDir
		}
		if !t.pick(name, d) {
			return nil
		}
		if err := t.add(w, path, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

func (t tree) add(w *tar.Writer, path, name string) error {
	st, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if st.Mode()&(fs.ModeDevice|fs.ModeSocket|fs.ModeNamedPipe|fs.ModeIrregular) != 0 {
		return nil
	}
	var link, more string
	switch {
	case st.Mode()&fs.ModeSymlink != 0:
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	case st.Mode().IsRegular() && t.more != nil:
		more = t.more(name)
	}
	h, err := tar.FileInfoHeader(st, link)
	if err != nil {
		return err
	}
	h.Name = t.at + name
	if st.IsDir() {
		h.Name += "/"
	}
	h.Size += int64(len(more))
	h.Uname, h.Gname = "", "" // this machine's names for the numbers
	h.ModTime, h.AccessTime, h.ChangeTime = h.ModTime.Truncate(time.Second), time.Time{}, time.Time{}
	if err := w.WriteHeader(h); err != nil || !st.Mode().IsRegular() {
		return err
	}
	return copyFile(w, path, more)
}

func copyFile(w io.Writer, path, more string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(w, f); err != nil {
		return err
	}
	_, err = io.WriteString(w, more)
	return err
}

// writeTrees gives a tar of the trees.
func writeTrees(w io.Writer, trees ...tree) error {
	t := tar.NewWriter(w)
	for _, tr := range trees {
		if err := tr.write(t); err != nil {
			return err
		}
	}
	return t.Close()
}
