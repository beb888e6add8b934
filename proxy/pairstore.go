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
)

// Suffixes of a service's files in the state folder: a KeyPair as JSON, mode 0600.
const (
	pairSuffix   = ".pair"
	formerSuffix = ".former"
)

func (s store) savePair(name, suffix string, p KeyPair) error {
	b, err := json.Marshal(p)
	if err == nil {
		err = replace(filepath.Join(s.dir, name+suffix), b)
	}
	if err != nil {
		return fmt.Errorf("save certificate: %w", err)
	}
	return s.syncDir()
}

// loadPairs reads all certificates. One that cannot be read is only its own service's trouble.
func (s store) loadPairs() (certStore, error) {
	c := certStore{pairs: map[string]*loaded{}, former: map[string]*loaded{}, wrong: map[string]error{}}
	err := s.each(pairSuffix, func(name string) {
		if p, err := s.loadPair(name, pairSuffix); err != nil {
			c.wrong[name] = err
		} else {
			c.pairs[name] = p
		}
	})
	if err != nil {
		return c, err
	}
	return c, s.each(formerSuffix, func(name string) {
		if p, err := s.loadPair(name, formerSuffix); err == nil { // without it, its names are ordered anew
			c.former[name] = p
		}
	})
}

func (s store) loadPair(name, suffix string) (*loaded, error) {
	p, err := s.readPair(name, suffix)
	if err != nil {
		return nil, err
	}
	return p.load()
}

func (s store) readPair(name, suffix string) (*KeyPair, error) {
	var p KeyPair
	if err := s.readSecret(name+suffix, 2*MaxPair, &p); err != nil {
		return nil, err
	}
	return &p, nil
}

// dropPairs forgets the certificates of a service that was removed.
func (m *manager) dropPairs(name string) {
	delete(m.certs.pairs, name)
	delete(m.certs.former, name)
	delete(m.certs.wrong, name)
	if err := errors.Join(m.store.drop(name, pairSuffix), m.store.drop(name, formerSuffix)); err != nil {
		m.log.Warn("the certificate of a removed service stays on the disk", "service", name, "error", err)
	}
}

// each calls do for every service that has a file with the suffix.
func (s store) each(suffix string, do func(name string)) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), suffix); ok {
			do(name)
		}
	}
	return nil
}

// readSecret reads a JSON file of at most limit bytes.
func (s store) readSecret(file string, limit int64, into any) error {
	f, err := os.Open(filepath.Join(s.dir, file))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := json.NewDecoder(io.LimitReader(f, limit)).Decode(into); err != nil {
		return errors.New("it is damaged") // the error itself might quote a key
	}
	return nil
}

// drop removes a service's file, if there is one.
func (s store) drop(name, suffix string) error {
	if err := os.Remove(filepath.Join(s.dir, name+suffix)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
