//go:build unix

package helper

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Stdin is the standard input as a file whose Close ends a Read, which os.Stdin's does not: a helper that hears nothing
// any more must end all the same.
func Stdin() io.ReadCloser {
	if err := unix.SetNonblock(0, true); err != nil {
		return os.Stdin
	}
	return os.NewFile(0, "stdin")
}
