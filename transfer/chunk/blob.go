package chunk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
)

// Errors that callers tell apart.
var (
	ErrUnknown = errors.New("chunk is not announced")
	ErrMissing = errors.New("chunk is not there")
	ErrClosed  = errors.New("blob is closed")
)

// BadError: bytes do not have the announced digest.
type BadError struct{ Index int }

func (e *BadError) Error() string { return fmt.Sprintf("chunk %d has wrong bytes", e.Index) }

// Blob is an open blob. It is safe for concurrent use; whatever waits or reads when it is closed gets ErrClosed.
type Blob struct {
	store   *Store
	name    Name
	private bool
	data    *os.File
	log     *os.File

	announcing sync.Mutex // held by Announce, which hashes without mu, and Finish; locked before mu

	recording sync.Mutex // held while a record is written, which a busy disk may delay; locked before mu
	end       int64      // where the next record goes

	mu       sync.Mutex
	old      map[int]record // of earlier runs
	sums     []Sum          // of what is announced
	lengths  []int32        // of what is held; 0 = missing
	count    int            // chunks held
	size     int64
	finished bool
	changed  chan struct{} // closed and replaced at every change that somebody may wait for
	closed   bool
}

// Finish says that the blob has size bytes, and no more chunks than are announced.
func (b *Blob) Finish(size int64) error {
	b.announcing.Lock()
	defer b.announcing.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return ErrClosed
	case b.finished && b.size != size:
		return fmt.Errorf("blob of %d bytes is said to have %d", b.size, size)
	case size < 0 || size > MaxChunks*Size || chunks(size) != len(b.sums):
		return fmt.Errorf("blob of %d bytes has %d chunks announced", size, len(b.sums))
	}
	for i, n := range b.lengths {
		if want := min(Size, size-int64(i)*Size); n > 0 && int64(n) != want {
			return fmt.Errorf("chunk %d has %d bytes, expected %d", i, n, want)
		}
	}
	b.size, b.finished, b.old = size, true, nil
	b.wake()
	return nil
}

func chunks(size int64) int { return int((size + Size - 1) / Size) }

// Has tells whether a chunk is held.
func (b *Blob) Has(i int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held(i) > 0
}

// Known is the number of chunks announced.
func (b *Blob) Known() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sums)
}

// Count is the number of chunks held.
func (b *Blob) Count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count
}

// Size of the blob in bytes, once it is finished.
func (b *Blob) Size() (int64, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size, b.finished
}

// Complete tells whether the blob is finished and all of it held.
func (b *Blob) Complete() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.complete()
}

// Wait waits until the blob is complete.
func (b *Blob) Wait(ctx context.Context) error { return b.until(ctx, b.complete) }

// Keep makes the blob count as used now, which is what the order of removal goes by.
func (b *Blob) Keep() { b.store.touch(b.name) }

// Close ends the use of the blob and keeps what is held for a later run; of a private one nothing.
func (b *Blob) Close() { b.shut(b.private) }

// Remove closes the blob and deletes what is held, of others of the same stem too, unless somebody uses them: they were
// other ways to what there is now.
func (b *Blob) Remove() {
	b.shut(true)
	if !b.private {
		b.store.removeStem(b.name.stem())
	}
}

func (b *Blob) shut(remove bool) {
	b.mu.Lock()
	closed := b.closed
	b.closed = true
	b.wake()
	b.mu.Unlock()
	if closed {
		return
	}
	if remove {
		b.store.unlink(b.name)
	} else {
		b.store.touch(b.name)
	}
	b.data.Close() // what was not written is not recorded or does not hash
	b.log.Close()  // with it goes the lock
}

// held is the length of a chunk, 0 if it is missing; with mu locked.
func (b *Blob) held(i int) int {
	if i < 0 || i >= len(b.lengths) {
		return 0
	}
	return int(b.lengths[i])
}

// complete with mu locked.
func (b *Blob) complete() bool { return b.finished && b.count == len(b.sums) }

// wake wakes all that wait; with mu locked.
func (b *Blob) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// until waits until yes, which is called with mu locked.
func (b *Blob) until(ctx context.Context, yes func() bool) error {
	for {
		b.mu.Lock()
		closed, done, changed := b.closed, yes(), b.changed
		b.mu.Unlock()
		switch {
		case closed:
			return ErrClosed
		case done:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
