package layers

import (
	"context"
	"errors"
	"io"
	"sync"
)

// ErrTryAgain: a blob could not be made, or was not what it should be, in one way, and there is another: asked for
// again, it may come. Bytes of it that were read before are of no use.
var ErrTryAgain = errors.New("try again")

// errUnwanted ends a making that nobody waits for any more.
var errUnwanted = errors.New("nobody wants it any more")

// making is one making of a blob, which all who want the blob share. Its bytes can be read while it goes on.
type making struct {
	key blobKey

	// Guarded by Spool.mu:
	users    int                     // who want it; without any it stops, unless it is settled
	holds    int                     // who need its bytes: the file is closed after the last
	settled  bool                    // it stays for the next who asks
	eager    bool                    // it has to be checked also if nobody reads it as it grows
	checking bool                    // check has begun
	check    job                     // reads stored bytes through, and promises them as it goes; nil = not needed
	cancel   context.CancelCauseFunc // of what is at work on it

	mu       sync.Mutex
	more     chan struct{} // closed and replaced whenever something below changes
	bytes    io.ReaderAt
	close    func() error // frees bytes
	spoil    func()       // takes damaged bytes out of the cache; nil = they are not in it
	have     int64        // bytes that can be read
	promised int64        // bytes that somebody was told of
	blob     Blob         // Digest "" = not known yet
	whole    bool
	err      error
}

func newMaking(key blobKey) *making { return &making{key: key, more: make(chan struct{})} }

// change lets f change what mu guards, and wakes those who wait for it.
func (m *making) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	close(m.more)
	m.more = make(chan struct{})
}

// start gives the making its bytes, none of which can be read yet.
func (m *making) start(bytes io.ReaderAt, free func() error) {
	m.change(func() { m.bytes, m.close = bytes, free })
}

func (m *making) advance(have int64) { m.change(func() { m.have = have }) }

// finish tells that all bytes are there and right. The blob is known by then.
func (m *making) finish() { m.change(func() { m.have, m.whole = m.blob.Size, true }) }

func (m *making) fail(err error) { m.change(func() { m.err = err }) }

// restart forgets all bytes, unless somebody was promised some.
func (m *making) restart() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.promised > 0 {
		return false
	}
	if m.close != nil {
		_ = m.close() // nothing of it was read
	}
	m.bytes, m.close, m.have = nil, nil, 0
	return true
}

// until waits until enough says so, and returns the error of the making, of ctx or of gone, if one comes first.
// It calls enough with mu locked.
func (m *making) until(ctx context.Context, gone <-chan struct{}, enough func() bool) error {
	for {
		m.mu.Lock()
		ok, err, more := enough(), m.err, m.more
		m.mu.Unlock()
		if ok || err != nil {
			return err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-gone:
			return errUnwanted
		}
	}
}

// open reads the whole blob, verified.
func (m *making) open() io.ReadCloser {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := verify(io.NopCloser(io.NewSectionReader(m.bytes, 0, m.blob.Size)), m.blob.Digest, m.blob.Size)
	if m.spoil == nil {
		return r
	}
	return &cachedReader{ReadCloser: r, spoil: m.spoil}
}
