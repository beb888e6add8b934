package place

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"ship/internal/plain"
)

// Shell runs text by sh on a host as the SSH user, without sudo, with args as $1 and following. It returns what the
// script printed to its standard output.
type Shell interface {
	Script(ctx context.Context, text string, args []string, stdin io.Reader) ([]byte, error)
}

// Why a host cannot have the helper. The error that wraps one of these says more.
var (
	// ErrArchitecture: there is no helper for this kind of machine.
	ErrArchitecture = errors.New("no helper for this architecture")
	// ErrNoexec: no folder of the user allows to run a file.
	ErrNoexec = errors.New("no folder where a program can be run")
	// ErrForbidden: the host does not run the helper, or no scripts of ours.
	ErrForbidden = errors.New("the host does not run the helper")
	// ErrDamaged: what arrived is not what was sent.
	ErrDamaged = errors.New("the helper arrived damaged")
)

// mark begins each line of an answer, since login shells print too, with or without a line's end. After it stand a key
// and a value.
const mark = "ship-place "

// Checked is the line that the helper prints when it is called with the one argument "check".
const Checked = "ship-helper runs"

// head begins every script. Its answers are on standard output and its status is 0 whatever comes out, so that an error
// of Script is an error of the connection. Each line is a command of its own, see PlaceCommand.
const head = `umask 077
LC_ALL=C PATH=$PATH:/usr/local/bin:/usr/bin:/bin
export LC_ALL PATH
answer() { printf 'ship-place %s %s\n' "$1" "$2"; }
fail() { answer "$1" "$2"; exit 0; }
echo
`

// Bounds of what a host says.
const (
	maxValue  = 4 << 10 // bytes of a value, which may be a path
	maxReason = 300     // bytes of a text for people
	maxAnswer = 1 << 20 // bytes of all that is printed
)

// answers are what a script said, by key.
type answers map[string]string

// ask runs a script and reads its answers. An answer that names a failure is an error.
func ask(ctx context.Context, sh Shell, text string, args []string, stdin io.Reader) (answers, error) {
	out, err := sh.Script(ctx, head+text, args, stdin)
	if err != nil {
		return nil, err
	}
	return readAnswers(out)
}

// readAnswers picks the answers out of all that a host printed.
func readAnswers(out []byte) (answers, error) {
	a := answers{}
	for line := range bytes.Lines(out[:min(len(out), maxAnswer)]) {
		text, ours := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), mark)
		if !ours || len(text) > maxValue {
			continue
		}
		key, value, _ := strings.Cut(text, " ")
		a[key] = value
	}
	if _, done := a["done"]; done {
		return a, nil
	}
	for _, f := range []struct {
		key string
		err error
	}{{"noexec", ErrNoexec}, {"forbidden", ErrForbidden}, {"damaged", ErrDamaged}} {
		if why, is := a[f.key]; is {
			return a, because(f.err, why)
		}
	}
	if why, is := a["failed"]; is {
		return a, errors.New(plain.Line(why, maxReason))
	}
	return a, because(ErrForbidden, string(out))
}

// because adds a host's own words to an error, if there are any.
func because(err error, words string) error {
	if words = plain.Line(words, maxReason); words == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, words)
}
