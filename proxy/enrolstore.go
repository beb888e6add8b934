package proxy

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"ship/proxy/acme"
)

const enrolSuffix = ".acme" // of a service's file in the state folder: an enrolment as JSON, mode 0600

// enrolmentFile is what is kept of an enrolled service. That a restart would forget the failures made it ask too often.
type enrolmentFile struct {
	acme.Enrolment
	Failures int       `json:"failures,omitempty"` // in a row
	Next     time.Time `json:"next,omitzero"`      // not before then
	Issued   time.Time `json:"issued,omitzero"`    // the last certificate
}

func (s store) saveEnrolment(name string, e enrolmentFile) error {
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
	return all, s.each(enrolSuffix, func(name string) {
		var e enrolmentFile
		err := s.readSecret(name+enrolSuffix, maxState, &e)
		if err == nil {
			all[name], err = newEnrolled(e)
		}
		if err != nil {
			delete(all, name)
			wrong(name, err)
		}
	})
}

// dropEnrolment forgets a service that was removed.
func (m *manager) dropEnrolment(name string) {
	delete(m.enrolled, name)
	if err := m.store.drop(name, enrolSuffix); err != nil {
		m.log.Warn("the account of a removed service stays on the disk", "service", name, "error", err)
	}
}
