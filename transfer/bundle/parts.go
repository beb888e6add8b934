package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxParts is what three digits number.
const maxParts = 999

// PartName is the name of a part of a bundle that is split, counted from 1.
func PartName(path string, n int) string { return fmt.Sprintf("%s.%03d", path, n) }

// joined is one file, or parts that are read as one.
type joined struct {
	path  string // as the person named it
	parts []part
	size  int64
}

type part struct {
	name     string
	file     content
	at, size int64 // in the whole
}

// content is what is used of an open file.
type content interface {
	io.ReaderAt
	io.Closer
}

// openJoined opens path; or its parts, if path names the whole or the first of them.
func openJoined(path string) (*joined, error) {
	names, err := partNames(path)
	if err != nil {
		return nil, err
	}
	j := &joined{path: path}
	for _, name := range names {
		if err := j.add(name); err != nil {
			return nil, errors.Join(err, j.Close())
		}
	}
	if err := j.check(); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return j, nil
}

// partNames lists the files that make up path, and refuses a gap.
func partNames(path string) ([]string, error) {
	whole := strings.TrimRight(path, "0123456789")
	if w, ok := strings.CutSuffix(whole, "."); ok && len(path) == len(w)+len(".001") && isFile(PartName(w, 1)) {
		path = w // the name of a part stands for all
	} else if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, &ForeignError{path, "it is not a regular file"}
	} else if err == nil || !errors.Is(err, fs.ErrNotExist) || !isFile(PartName(path, 1)) {
		return []string{path}, err
	}
	found, err := partsThere(path)
	if err != nil {
		return nil, err
	}
	for i, name := range found {
		if want := PartName(path, i+1); name != want {
			return nil, &TruncatedError{File: want, Where: "a part that is missing, though there is " + filepath.Base(name)}
		}
	}
	return found, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// partsThere lists the files that look like parts of path, in order.
func partsThere(path string) ([]string, error) {
	found, err := filepath.Glob(globQuote(path) + ".[0-9][0-9][0-9]")
	slices.Sort(found)
	return found, err
}

// globQuote takes the meaning from what filepath.Glob would act on.
func globQuote(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

func (j *joined) add(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &ForeignError{name, "it is not a regular file"}
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	j.parts = append(j.parts, part{name, f, j.size, info.Size()})
	j.size += info.Size()
	return nil
}

// check finds a part that is cut short in the middle: all but the last are of one size.
func (j *joined) check() error {
	largest := int64(0)
	for _, p := range j.parts[:len(j.parts)-1] {
		largest = max(largest, p.size)
	}
	for i, p := range j.parts {
		if i < len(j.parts)-1 && p.size != largest {
			return &TruncatedError{File: p.name, Have: p.size, Want: largest, Where: fmt.Sprintf("part %d of %d", i+1, len(j.parts))}
		}
	}
	return nil
}

// ReadAt is that of io.ReaderAt, over all parts.
func (j *joined) ReadAt(b []byte, off int64) (int, error) {
	n := 0
	for _, p := range j.parts {
		if off >= p.at+p.size || n == len(b) {
			continue
		}
		in := off - p.at
		take := min(int64(len(b)-n), p.size-in)
		m, err := p.file.ReadAt(b[n:n+int(take)], in)
		n, off = n+m, off+int64(m)
		if int64(m) < take {
			return n, fmt.Errorf("read %s at byte %d: %w", p.name, in+int64(m), err)
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// place names the file that holds offset off of the whole, and the offset in it.
func (j *joined) place(off int64) (name string, at int64) {
	for _, p := range j.parts {
		if off < p.at+p.size {
			return p.name, off - p.at
		}
	}
	last := j.parts[len(j.parts)-1]
	return last.name, off - last.at
}

// Close closes all parts.
func (j *joined) Close() error {
	var errs []error
	for _, p := range j.parts {
		errs = append(errs, p.file.Close())
	}
	return errors.Join(errs...)
}
