package layers

import (
	"errors"
	"os"
)

// Temp makes a file in the spool's folder that is gone when it is closed.
func (s *Spool) Temp() (*os.File, error) {
	f, err := s.cache.temp()
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
