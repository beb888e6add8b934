package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxState bounds one state file, in bytes.
const maxState = 1 << 20

// record is what is kept of a service: enough to serve, and to undo, after a crash.
type record struct {
	Generation int64   `json:"generation"`
	Active     *placed `json:"active"`             // nil: removed, or undone to nothing
	Previous   *placed `json:"previous,omitempty"` // where an undo goes
}

// placed is a target with the service's settings as they were with it.
type placed struct {
	Service Service `json:"service"`
	Target  Target  `json:"target"`
}

// store is the folder with one file a service.
type store struct{ dir string }

func openStore(dir string) (store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return store{}, fmt.Errorf("state folder: %w", err)
	}
	return store{dir}, nil
}

func (s store) path(name string) string { return filepath.Join(s.dir, name+".json") }

// save replaces a service's file: the old content or the new one is there at any moment, and the new one is on the
// disk when save returns. What was there before stays beside it, as the last good copy.
func (s store) save(name string, r record) (err error) {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	tmp := s.path(name) + ".new"
	if err := writeSynced(tmp, append(b, '\n')); err != nil {
		return fmt.Errorf("save state: %w", errors.Join(err, os.Remove(tmp)))
	}
	if old, err := os.ReadFile(s.path(name)); err == nil && json.Valid(old) {
		// Losing the copy loses no state; failing the commit for it would.
		_ = writeSynced(s.path(name)+".bak", old)
	}
	if err := os.Rename(tmp, s.path(name)); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	return s.syncDir()
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (s store) syncDir() error {
	d, err := os.Open(s.dir)
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	return nil
}

// load reads all services. One that cannot be read is taken from its last good copy; if that fails too, it is
// named in bad, and does not serve.
func (s store) load() (all map[string]record, bad map[string]error, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("read state: %w", err)
	}
	all, bad = map[string]record{}, map[string]error{}
	for _, e := range entries {
		name, ok := strings.CutSuffix(strings.TrimSuffix(e.Name(), ".bak"), ".json")
		if !ok || all[name].Active != nil || bad[name] != nil {
			continue
		}
		r, err := readRecord(s.path(name))
		if err != nil {
			var again error
			if r, again = readRecord(s.path(name) + ".bak"); again != nil {
				bad[name] = errors.Join(err, again)
				continue
			}
		}
		all[name] = r
	}
	return all, bad, nil
}

func readRecord(path string) (record, error) {
	f, err := os.Open(path)
	if err != nil {
		return record{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxState))
	if err != nil {
		return record{}, err
	}
	return parseRecord(b)
}

// parseRecord accepts only what could have been saved.
func parseRecord(b []byte) (record, error) {
	var r record
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&r); err != nil {
		return record{}, fmt.Errorf("state: %w", err)
	}
	for _, p := range []*placed{r.Active, r.Previous} {
		if p == nil {
			continue
		}
		var err error
		if p.Service, err = p.Service.withDefaults(); err == nil {
			err = p.Target.check()
		}
		if err != nil {
			return record{}, fmt.Errorf("state: %w", err)
		}
	}
	return r, nil
}

func (s store) remove(name string) error {
	err := os.Remove(s.path(name))
	if e := os.Remove(s.path(name) + ".bak"); !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove state: %w", err)
	}
	return s.syncDir()
}
