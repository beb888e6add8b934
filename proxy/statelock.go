package proxy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// stateLock is the right to write the state: one process has it at a time, and the system takes it back when that ends.
type stateLock struct{ file *os.File }

// errLocked is another process that writes the state.
var errLocked = errors.New("another proxy has its state there")

const lockPoll = 10 * time.Millisecond

// lock waits for the right until ctx ends; the error is errLocked then. Any other error is a folder in which nothing
// can be locked.
func (s store) lock(ctx context.Context) (*stateLock, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state: %w", err)
	}
	for {
		err := tryLock(f)
		if err == nil {
			return &stateLock{f}, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock the state: %w", err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("%s: %w", s.dir, errLocked), f.Close())
		case <-time.After(lockPoll):
		}
	}
}

func tryLock(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if e := raw.Control(func(fd uintptr) { err = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) }); e != nil {
		return e
	}
	return err
}

// release gives the right back. A nil lock has nothing to give.
func (l *stateLock) release() {
	if l != nil {
		_ = l.file.Close() // nothing was written
	}
}
