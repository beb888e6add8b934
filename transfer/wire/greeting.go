package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Version of all that is said in frames. Both ends must have the same: the helper is placed by the controller that
// talks to it.
const Version = 1

// greeting begins every conversation, in both directions.
const greeting = "\x00ship helper\x00\x01\n"

// maxNoise bounds what may come before a greeting, in bytes: login shells print, but not for ever.
const maxNoise = 64 << 10

// ErrGreeting is wrapped by the error of an end that did not greet.
var ErrGreeting = errors.New("no greeting")

// Greet writes the greeting.
func Greet(w io.Writer) error {
	_, err := io.WriteString(w, greeting)
	return err
}

// Greeted reads up to the greeting and no byte further. On failure noise is what came in its place.
func Greeted(r io.Reader) (noise []byte, err error) {
	var got []byte
	one := make([]byte, 1)
	for len(got) < maxNoise {
		if _, err := io.ReadFull(r, one); err != nil {
			return got, fmt.Errorf("%w: %w", ErrGreeting, unexpected(err))
		}
		got = append(got, one[0])
		if one[0] == '\n' && bytes.HasSuffix(got, []byte(greeting)) {
			return got[:len(got)-len(greeting)], nil
		}
	}
	return got, fmt.Errorf("%w in the first %d bytes", ErrGreeting, maxNoise)
}
