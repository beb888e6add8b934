package chunk

import (
	"cmp"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// stored is a blob as the sweep sees it.
type stored struct {
	name Name
	size int64 // bytes on the disk
	used time.Time
}

// sweep removes blobs that are not in use: those unused for longer than maxAge, then those unused for longest until all
// take at most quota bytes.
func (s *Store) sweep(quota int64) error {
	blobs, err := s.list()
	if err != nil {
		return err
	}
	slices.SortFunc(blobs, func(a, b stored) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.name, b.name)) })
	var total int64
	for _, b := range blobs {
		total += b.size
		if time.Until(b.used) > 0 {
			s.touch(b.name) // the clock was ahead: from now on it grows old like the others
		}
	}
	for _, b := range blobs {
		if total <= quota && time.Since(b.used) <= maxAge {
			break // all that follow were used later
		}
		if s.removeUnused(b.name) {
			total -= b.size
		}
	}
	return nil
}

// list returns all blobs. One that goes away meanwhile is left out.
func (s *Store) list() ([]stored, error) {
	entries, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return nil, err
	}
	byName := make(map[Name]*stored)
	for _, e := range entries {
		file := e.Name()
		base, isData := strings.CutSuffix(file, dataSuffix)
		if !isData {
			var isLog bool
			if base, isLog = strings.CutSuffix(file, logSuffix); !isLog {
				continue
			}
		}
		n := Name(base)
		info, err := e.Info()
		if err != nil || n.check() != nil || !info.Mode().IsRegular() {
			continue
		}
		if byName[n] == nil {
			byName[n] = &stored{name: n}
		}
		byName[n].size += onDisk(info)
		if !isData || byName[n].used.IsZero() { // of the records, if there are any
			byName[n].used = info.ModTime()
		}
	}
	blobs := make([]stored, 0, len(byName))
	for _, b := range byName {
		blobs = append(blobs, *b)
	}
	return blobs, nil
}

// removeUnused removes a blob unless it is in use.
func (s *Store) removeUnused(n Name) bool {
	log, err := s.lock(n)
	if err != nil { // in use, or too many files are open: another time
		return false
	}
	s.unlink(n)
	log.Close()
	return true
}

// removeStem removes the blobs of a stem that are not in use. What cannot be removed now is swept later.
func (s *Store) removeStem(stem string) {
	blobs, err := s.list()
	if err != nil {
		return
	}
	for _, b := range blobs {
		if b.name.stem() == stem {
			s.removeUnused(b.name)
		}
	}
}
