//go:build unix

package helper

import (
	"os"

	"golang.org/x/sys/unix"
)

// Stdin is the standard input as a file whose Close ends a Read, which os.Stdin's does not: a helper that hears nothing
// any more must end all the same.
func Stdin() *os.File { return endable(os.Stdin, 0) }

// Stdout is the standard output as a file whose Close ends a Write, for a helper to which nobody listens any more.
func Stdout() *os.File { return endable(os.Stdout, 1) }

// endable leaves f as it is where fd cannot be waited for with others.
func endable(f *os.File, fd uintptr) *os.File {
	if err := unix.SetNonblock(int(fd), true); err != nil {
		return f
	}
	return os.NewFile(fd, f.Name())
}
