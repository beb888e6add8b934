package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	Previous   *placed `json:"previous,omitempty"` // where an undo goes; nil: to nothing
	Undone     bool    `json:"undone,omitempty"`   // this generation's commit, or there was none
	Halt       *Halt   `json:"halt,omitempty"`     // nil: requests are served
}

// placed is a target with the service's settings as they were with it.
type placed struct {
	Service Service `json:"service"`
	Target  Target  `json:"target"`

	More []Target `json:"more,omitempty"` // further replicas
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
// disk when save returns. A second copy stays beside it, for the day when the first cannot be read.
func (s store) save(name string, r record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	b = append(b, '\n')
	if len(b) > maxState {
		return &refusedError{fmt.Errorf("save state: service %s has %d bytes of settings, at most %d can be kept", name, len(b), maxState)}
	}
	if err := replace(s.path(name), b); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	if err := s.syncDir(); err != nil {
		return err
	}
	_ = replace(s.path(name)+".bak", b) // the state is safe without it
	return nil
}

func replace(path string, b []byte) error {
	tmp := path + ".new"
	err := writeSynced(tmp, b)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp) // a rest of it would be overwritten the next time
	}
	return err
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
		r, err := s.read(name, "")
		if err != nil {
			var again error
			if r, again = s.read(name, ".bak"); again != nil {
				bad[name] = errors.Join(err, again)
				continue
			}
		}
		all[name] = r
	}
	return all, bad, nil
}

func (s store) read(name, suffix string) (record, error) {
	f, err := os.Open(s.path(name) + suffix)
	if err != nil {
		return record{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxState))
	if err != nil {
		return record{}, err
	}
	r, err := parseRecord(b)
	if err == nil && r.Active != nil && r.Active.Service.Name != name {
		err = fmt.Errorf("state: this is service %s", r.Active.Service.Name)
	}
	return r, err
}

// parseRecord accepts only what could have been saved.
func parseRecord(b []byte) (record, error) {
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return record{}, fmt.Errorf("state: %w", err)
	}
	if r.Active == nil && !r.Undone {
		return record{}, errors.New("state: no target")
	}
	for _, p := range []*placed{r.Active, r.Previous} {
		if p == nil {
			continue
		}
		var err error
		if p.Service, err = p.Service.withDefaults(); err == nil {
			err = p.checkTargets()
		}
		if err != nil {
			return record{}, fmt.Errorf("state: %w", err)
		}
	}
	return r, nil
}
