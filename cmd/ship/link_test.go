package main

import (
	"errors"
	"net"
	"testing"

	"ship/internal/sshx"
)

// endedConn is the connection to a command that ended with status 77 before anyone read or wrote.
type endedConn struct{ net.Conn }

func (endedConn) Read([]byte) (int, error)  { return 0, ended }
func (endedConn) Write([]byte) (int, error) { return 0, ended }

var ended = &sshx.ExitError{Status: statusNoRights, Stderr: "user u may not use Docker\n"}

func TestRightsAreExplainedWhicheverComesFirst(t *testing.T) {
	c := explained{endedConn{}, &link{name: "h1"}}
	for name, do := range map[string]func([]byte) (int, error){"read": c.Read, "write": c.Write} {
		_, err := do(make([]byte, 1))
		var rights *rightsError
		if !errors.As(err, &rights) || rights.Error() != "user u may not use Docker" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
