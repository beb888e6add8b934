package delta

import (
	"fmt"
	"hash"
	"io"
)

// checkedWriter hashes the target on its way, and keeps back what was written last until it is known to be right.
type checkedWriter struct {
	w      io.Writer
	header *Header
	sum    hash.Hash
	done   int64
	kept   []byte
}

func (c *checkedWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if c.done += int64(len(p)); c.done > c.header.TargetSize {
		return 0, fmt.Errorf("%w: more than %d bytes", ErrPatch, c.header.TargetSize)
	}
	if err := c.flush(); err != nil {
		return 0, err
	}
	_, _ = c.sum.Write(p) // a hash never fails
	c.kept = append(c.kept[:0], p...)
	return len(p), nil
}

func (c *checkedWriter) flush() error {
	if len(c.kept) == 0 {
		return nil
	}
	if _, err := c.w.Write(c.kept); err != nil {
		return fmt.Errorf("write target: %w", err)
	}
	return nil
}

// finish checks the whole and writes its last bytes.
func (c *checkedWriter) finish() error {
	if c.done != c.header.TargetSize {
		return fmt.Errorf("%w: it gives %d bytes of %d", ErrPatch, c.done, c.header.TargetSize)
	}
	if got := [32]byte(c.sum.Sum(nil)); got != c.header.Target {
		return &MismatchError{Want: c.header.Target, Got: got}
	}
	return c.flush()
}
