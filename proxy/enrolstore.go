package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ship/proxy/acme"
)

const enrolSuffix = ".acme" // of a service's file in the state folder: an Enrolment as JSON, mode 0600

func (s store) saveEnrolment(name string, e acme.Enrolment) error {
	b, err := json.Marshal(e)
	if err == nil {
		err = replace(filepath.Join(s.dir, name+enrolSuffix), b)
	}
	if err != nil {
		return fmt.Errorf("save enrolment: %w", err)
	}
	return s.syncDir()
}

// loadEnrolments reads all. One that cannot be read is left out, and told of: the next deploy brings it back.
func (s store) loadEnrolments(wrong func(name string, err error)) (map[string]*enrolled, error) {
	all := map[string]*enrolled{}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("read enrolments: %w", err)
	}
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), enrolSuffix)
		if !ok {
			continue
		}
		e, err := s.readEnrolment(name)
		if err != nil {
			wrong(name, err)
			continue
		}
		all[name] = e
	}
	return all, nil
}

func (s store) readEnrolment(name string) (*enrolled, error) {
	f, err := os.Open(filepath.Join(s.dir, name+enrolSuffix))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var e acme.Enrolment
	if err := json.NewDecoder(io.LimitReader(f, maxState)).Decode(&e); err != nil {
		return nil, errors.New("it is damaged") // the error itself might quote a key
	}
	return newEnrolled(e)
}

// dropEnrolment forgets a service that was removed.
func (m *manager) dropEnrolment(name string) {
	delete(m.enrolled, name)
	if err := os.Remove(filepath.Join(m.store.dir, name+enrolSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.log.Warn("the account of a removed service stays on the disk", "service", name, "error", err)
	}
}
