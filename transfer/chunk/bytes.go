package chunk

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
)

// Put stores a chunk; fresh is false if it was held already. Wrong bytes are a *BadError, a chunk that is not announced
// ErrUnknown. A full disk is syscall.ENOSPC, told only after all that is not in use was removed from the store.
func (b *Blob) Put(i int, p []byte) (fresh bool, err error) {
	sum, held, err := b.expect(i)
	if err != nil || held {
		return false, err
	}
	if len(p) == 0 || len(p) > Size || sha256.Sum256(p) != sum {
		return false, &BadError{Index: i}
	}
	if err := b.checkLength(i, len(p)); err != nil {
		return false, err
	}
	fresh, err = b.write(i, p, sum)
	if isFull(err) && b.store.sweep(0) == nil {
		fresh, err = b.write(i, p, sum)
	}
	switch {
	case errors.Is(err, os.ErrClosed):
		return false, ErrClosed
	case isFull(err):
		return false, fmt.Errorf("store chunk %d: %w", i, full{err})
	case err != nil:
		return false, fmt.Errorf("store chunk %d: %w", i, err)
	}
	return fresh, nil
}

// full is a full disk, whatever the system calls it.
type full struct{ error }

func (e full) Unwrap() []error { return []error{syscall.ENOSPC, e.error} }

// isFull: no space, or none that this user may take.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// write writes verified bytes, then their record. Two at once write the same bytes to the same place.
func (b *Blob) write(i int, p []byte, sum Sum) (fresh bool, err error) {
	if _, err := b.data.WriteAt(p, int64(i)*Size); err != nil {
		return false, err
	}
	return b.record(i, record{len(p), sum})
}

func (b *Blob) expect(i int) (sum Sum, held bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return Sum{}, false, ErrClosed
	case i < 0 || i >= len(b.sums):
		return Sum{}, false, fmt.Errorf("chunk %d: %w", i, ErrUnknown)
	}
	return b.sums[i], b.lengths[i] > 0, nil
}

// checkLength: only the last chunk may be short, and once the size is known only by so much.
func (b *Blob) checkLength(i, n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	want := int64(Size)
	if i == len(b.sums)-1 {
		if want = int64(n); b.finished {
			want = b.size - int64(i)*Size
		}
	}
	if int64(n) != want {
		return fmt.Errorf("chunk %d has %d bytes, expected %d", i, n, want)
	}
	return nil
}

// record notes that a chunk's bytes are written.
func (b *Blob) record(i int, r record) (fresh bool, err error) {
	b.recording.Lock()
	defer b.recording.Unlock()
	if b.Has(i) {
		return false, nil
	}
	n, err := b.log.WriteAt(r.bytes(i), b.end)
	if err != nil { // the next record goes over it
		return false, err
	}
	b.end += int64(n)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false, ErrClosed
	}
	b.lengths[i] = int32(r.length)
	b.count++
	b.wake()
	return true, nil
}

// Get appends a chunk's bytes to p[:0]. One that is not held is ErrMissing.
func (b *Blob) Get(i int, p []byte) ([]byte, error) {
	b.mu.Lock()
	n, closed := b.held(i), b.closed
	b.mu.Unlock()
	switch {
	case closed:
		return nil, ErrClosed
	case n == 0:
		return nil, fmt.Errorf("chunk %d: %w", i, ErrMissing)
	}
	p = slices.Grow(p[:0], n)[:n]
	if err := b.readAt(p, int64(i)*Size); err != nil {
		return nil, fmt.Errorf("read chunk %d: %w", i, err)
	}
	return p, nil
}

// readAt reads all of p, which lies within chunks that are held.
func (b *Blob) readAt(p []byte, off int64) error {
	n, err := b.data.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case errors.Is(err, os.ErrClosed):
		return ErrClosed
	case err == io.EOF:
		return io.ErrUnexpectedEOF // somebody has cut the file
	}
	return err
}
