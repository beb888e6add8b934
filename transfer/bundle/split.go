package bundle

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"ship/internal/event"
)

// MinPart is the smallest size of a part, in bytes.
const MinPart = 1 << 20

// PlaceError: a file cannot be written where it was asked for.
type PlaceError struct {
	Reason string
	Help   string
}

func (e *PlaceError) Error() string { return e.Reason }

// Hint says what to do about it.
func (e *PlaceError) Hint() string { return e.Help }

// CheckParts refuses to split a bundle of size bytes into parts that could not be joined again.
func CheckParts(path string, size, partSize int64) error {
	n := (size + partSize - 1) / partSize
	if partSize < MinPart || n > maxParts {
		return &PlaceError{fmt.Sprintf("split %d bytes by %d: %d parts", size, partSize, n), "parts have 1 MiB at least, and there are 999 at most"}
	}
	there, err := partsThere(path)
	if err != nil {
		return err
	}
	for _, old := range there {
		if old > PartName(path, int(n)) {
			return &PlaceError{old + " is there, and would be taken for a part of this bundle", "remove it, or choose another name"}
		}
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return &PlaceError{path + " is there, and would be taken for this bundle in place of its parts", "remove it, or choose another name"}
	}
	return nil
}

// WriteFile writes the bundle to path, or, with partSize > 0, to parts of so many bytes each, and returns their names.
// They are written under other names and renamed once all are safe on the disk: after an error nothing is left, and
// what was there before is still there.
func (b *Bundle) WriteFile(ctx context.Context, path string, partSize int64, emit event.Func) ([]string, error) {
	if partSize > 0 {
		if err := CheckParts(path, b.Size(), partSize); err != nil {
			return nil, err
		}
	}
	return save(path, partSize, func(w io.Writer) error {
		if err := b.Write(ctx, w, emit); err != nil {
			return err
		}
		return context.Cause(ctx)
	})
}

// WriteFile writes the inventory to path, whole or not at all.
func (v Inventory) WriteFile(path string) error {
	_, err := save(path, 0, v.Write)
	return err
}

// save has a file written under another name and renames it.
func save(path string, partSize int64, write func(io.Writer) error) (names []string, err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, &PlaceError{path + " is not a regular file", "name a file"} // renaming would replace a device
	}
	out := &splitter{dir: filepath.Dir(path), base: filepath.Base(path), partSize: partSize}
	defer func() {
		if err != nil {
			out.remove()
		}
	}()
	if err := write(out); err != nil {
		return nil, err
	}
	if err := out.finish(); err != nil {
		return nil, err
	}
	for i := range out.temps {
		names = append(names, path)
		if partSize > 0 {
			names[i] = PartName(path, i+1)
		}
	}
	// The first part comes last: without it nobody takes the others for a bundle.
	for i := len(names) - 1; i >= 0; i-- {
		if err := os.Rename(out.temps[i], names[i]); err != nil {
			out.temps = append(out.temps, names[i+1:]...)
			return nil, err
		}
	}
	return names, syncFolder(out.dir)
}

// syncFolder brings the new names to the disk, too. Not every file system of a stick can do that on its own.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = d.Sync() // what it cannot do, unmounting does
	return d.Close()
}

// splitter writes temporary files of partSize bytes, or a single one if that is 0.
type splitter struct {
	dir, base string
	partSize  int64
	temps     []string
	file      *os.File // the last of temps; nil = the next byte begins a new one
	left      int64    // bytes that fit into it
	unsynced  int64    // bytes
}

// syncEvery so many bytes they are brought to the disk. Else a slow stick would take minutes over what is told as
// written, and nobody could end that.
const syncEvery = 32 << 20

func (s *splitter) Write(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		if s.file == nil {
			if err := s.next(); err != nil {
				return n, err
			}
		}
		take := len(b) - n
		if s.partSize > 0 {
			take = int(min(int64(take), s.left))
		}
		m, err := s.file.Write(b[n : n+take])
		n += m
		s.left -= int64(m)
		s.unsynced += int64(m)
		switch {
		case err != nil:
		case s.partSize > 0 && s.left == 0:
			err = s.finish()
		case s.unsynced >= syncEvery:
			s.unsynced = 0
			err = s.file.Sync()
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

var _ io.Writer = (*splitter)(nil)

func (s *splitter) next() (err error) {
	// Made with the mode that it shall have: not every file system of a stick lets that be changed.
	s.file, err = os.OpenFile(filepath.Join(s.dir, "."+s.base+"."+rand.Text()+".tmp"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	s.temps, s.left = append(s.temps, s.file.Name()), s.partSize
	return nil
}

// finish brings the last file to the disk: the stick may be pulled out next.
func (s *splitter) finish() error {
	if s.file == nil {
		return nil
	}
	err := errors.Join(s.file.Sync(), s.file.Close())
	s.file = nil
	return err
}

func (s *splitter) remove() {
	if s.file != nil {
		_ = s.file.Close() // it is given up
	}
	for _, name := range s.temps {
		_ = os.Remove(name) // it may have its real name by now, or be gone
	}
}
