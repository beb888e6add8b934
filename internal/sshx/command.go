package sshx

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"ship/internal/plain"
)

// maxCommand is how many bytes a remote command line may have: Linux takes no longer word.
const maxCommand = 128<<10 - 1

// Command is what to run: Argv, or Script with Argv as its parameters.
type Command struct {
	Argv   []string  // with a Script: $1 and on
	Script string    // for sh -c
	Stdin  io.Reader // nil = empty. If it is an io.Closer, Run closes it: that frees whoever writes to a pipe
	Name   string    // what errors call it; default: the first words of Argv, or "script"
}

// line is the command for the remote shell.
func (c Command) line() (string, error) {
	words := c.Argv
	if c.Script != "" {
		words = append([]string{"sh", "-c", c.Script, "sh"}, c.Argv...)
	}
	if len(words) == 0 {
		return "", errors.New("no command")
	}
	line := Quote(words...)
	switch {
	case strings.IndexByte(line, 0) >= 0:
		return "", fmt.Errorf("%s: a NUL cannot be in a command", c.name())
	case len(line) > maxCommand:
		return "", fmt.Errorf("%s: the command has %d bytes, more than a host takes", c.name(), len(line))
	}
	return line, nil
}

func (c Command) name() string {
	switch {
	case c.Name != "":
		return c.Name
	case c.Script != "":
		return "script"
	}
	return plain.Text(strings.Join(c.Argv, " "), 60)
}
