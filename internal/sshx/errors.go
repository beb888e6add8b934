package sshx

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ship/internal/plain"
)

// ErrLinkLost is wrapped by everything that fails because the connection broke or the host stopped answering.
var ErrLinkLost = errors.New("the connection to the host is lost")

// UnreachableError is a hop that could not be connected to: no such name, refused, silent, or not speaking SSH.
type UnreachableError struct {
	Host string // as written
	Err  error  // why, in words
	hint string
}

func (e *UnreachableError) Error() string { return fmt.Sprintf("connect to %s: %v", e.Host, e.Err) }
func (e *UnreachableError) Unwrap() error { return e.Err }

// Hint is what a person can do about it.
func (e *UnreachableError) Hint() string {
	if e.hint != "" {
		return e.hint
	}
	return "try: ssh " + e.Host
}

// HostKeyError is a hop whose key is not the one we know, or that we do not know.
type HostKeyError struct {
	Host        string   // as written
	Type        string   // of the key that the host showed: ssh-ed25519
	Fingerprint string   // of that key: SHA256:...
	Known       bool     // another key is known for the host, or this one is revoked: stop
	Want        []string // what is known instead, as "SHA256:... (ssh-ed25519, known_hosts:3)"
	Line        string   // the line for known_hosts that would admit the key
	Reason      string   // set where the key is refused for something else: revoked, certificate expired
	lax         string   // what ssh_config says of StrictHostKeyChecking, where that is weaker than yes
}

func (e *HostKeyError) Error() string {
	switch {
	case e.Reason != "":
		return fmt.Sprintf("host key of %s refused: %s (%s %s)", e.Host, e.Reason, e.Type, e.Fingerprint)
	case e.Known:
		return fmt.Sprintf("host key of %s has changed: it shows %s (%s), known is %s",
			e.Host, e.Fingerprint, e.Type, strings.Join(e.Want, ", "))
	}
	return fmt.Sprintf("host key of %s is not known: it shows %s (%s)", e.Host, e.Fingerprint, e.Type)
}

// Hint is what a person can do about it.
func (e *HostKeyError) Hint() string {
	if e.Known {
		return "somebody may be listening in; if the host was really set up anew, remove its old key " +
			"(ssh-keygen -R, or the pin in ship.yaml) and check the new one there: ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub"
	}
	hint := "compare it with the host's own: ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub; if it is the same, add to known_hosts: " + e.Line
	if e.lax != "" {
		hint += " (StrictHostKeyChecking " + e.lax + " of ssh_config is not followed)"
	}
	return hint
}

// AuthError is a hop that takes none of our keys.
type AuthError struct {
	Host, User string
	Tried      []string // keys offered and keys that could not be, each with the reason; paths and fingerprints only
	Methods    []string // what the host would have taken: publickey, password
	crowd      bool     // the host hung up because of the number of keys
}

func (e *AuthError) Error() string {
	tried := "no key to offer"
	if len(e.Tried) > 0 {
		tried = "tried " + strings.Join(e.Tried, "; ")
	}
	return fmt.Sprintf("log in to %s as %s: refused: %s", e.Host, e.User, tried)
}

// Hint is what a person can do about it.
func (e *AuthError) Hint() string {
	switch {
	case e.crowd:
		return "the host gives up after that many keys: set IdentitiesOnly and IdentityFile in ssh_config, or pass -i FILE"
	case len(e.Methods) > 0 && !slices.Contains(e.Methods, methodKey):
		return "the host asks for " + strings.Join(e.Methods, " or ") + ", ship logs in with keys only"
	}
	return fmt.Sprintf("ssh-copy-id %s@%s, or ssh-add the key, or pass -i FILE", e.User, e.Host)
}

// ExitError is a remote command that ran and did not end well.
type ExitError struct {
	Cmd    string // the command, shortened
	Status int    // 1 to 255; 128 + number for a signal; -1 if the host did not say
	Signal string // KILL, if a signal ended it
	Stderr string // cleaned tail of what it said there
}

func (e *ExitError) Error() string {
	how := fmt.Sprintf("exit status %d", e.Status)
	switch {
	case e.Signal != "":
		how = "killed by signal " + e.Signal
	case e.Status < 0:
		how = "ended without an exit status"
	}
	if last := lastLine(e.Stderr); last != "" {
		how += ": " + last
	}
	return e.Cmd + ": " + how
}

// lastLine is the last line of s with anything in it, bounded for a message.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return plain.Text(s[strings.LastIndexByte(s, '\n')+1:], 400)
}

// reason says in words what err means.
type reason struct {
	text string
	err  error
}

func (r *reason) Error() string { return r.text }
func (r *reason) Unwrap() error { return r.err }
