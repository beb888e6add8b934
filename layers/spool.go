package layers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"ship/internal/event"
)

// Accept says which blobs a host's engine reads. Plain and gzip are read by all.
type Accept struct {
	Zstd bool // from Docker 23
}

// DefaultQuota is what a spool keeps for later runs, in bytes.
const DefaultQuota = 20 << 30

// maxMakings is how many layers are read and compressed at once: each uses up to two cores, and 15 MB.
const maxMakings = 2

// SpoolOptions configure a Spool.
type SpoolOptions struct {
	Dir   string // made with mode 0700; shared with other runs and processes
	Quota int64  // bytes; 0 = DefaultQuota
	Emit  event.Func
	// KeepStored keeps a copy also of blobs that the source stores as they are sent, so that a later run has what its
	// deltas are made from when the source is gone.
	KeepStored bool
}

// Spool makes the blobs that hosts are sent, each once per run however many hosts ask for it, and keeps them on disk
// for later runs. Equal layers give equal blobs, on every machine: what one run has sent, another can go on from.
// It is safe for concurrent use.
type Spool struct {
	cache  *cache
	emit   event.Func
	keep   bool
	makers *turns
	checks *turns

	running sync.WaitGroup
	mu      sync.Mutex
	blobs   map[blobKey]*making
	settled []*making        // held until the spool is closed
	sizes   map[DiffID]int64 // of layers that were unpacked in this run, in bytes
	closed  bool
}

// SpooledBlob is a blob that is ready to be sent: Digest and Size are known.
type SpooledBlob struct {
	Blob
	making *making
}

// Open reads the blob, verified as Image.Open does. It may be called often and at the same time, until the Spool or the
// image's Source is closed.
func (b *SpooledBlob) Open(context.Context) (io.ReadCloser, error) { return b.making.open(), nil }

type blobKey struct {
	diffID   DiffID
	encoding Compression
}

// OpenSpool opens or makes a spool.
func OpenSpool(o SpoolOptions) (*Spool, error) {
	if o.Quota == 0 {
		o.Quota = DefaultQuota
	}
	c, err := openCache(o.Dir, o.Quota)
	if err != nil {
		return nil, fmt.Errorf("open layer cache: %w", err)
	}
	return &Spool{cache: c, emit: o.Emit, keep: o.KeepStored, makers: newTurns(maxMakings), checks: newTurns(maxMakings),
		blobs: make(map[blobKey]*making), sizes: make(map[DiffID]int64)}, nil
}

// Close ends what is still being made, and frees what the spool holds open. Call it when no blob of it is read any more.
func (s *Spool) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, m := range s.blobs {
		m.cancel(errors.New("layer cache is closed"))
	}
	s.mu.Unlock()
	s.running.Wait()
	var errs []error
	for _, m := range s.settled {
		errs = append(errs, s.drop(m))
	}
	s.settled = nil
	return errors.Join(append(errs, s.cache.Close())...)
}

// Blob returns layer i of img as a host that accepts want should get it: as the source stores it if it is compressed in
// a way the host reads, else compressed with zstd or gzip. It returns once the whole blob is there. Callers that ask
// for the same blob share one making of it, which goes on as long as one of them waits.
func (s *Spool) Blob(ctx context.Context, img *Image, i int, want Accept) (*SpooledBlob, error) {
	key := blobKey{img.Layers[i].DiffID, encodingFor(img.Layers[i].Blob.Compression, want)}
	b, err := s.blob(ctx, key, img, i)
	if errors.Is(err, ErrTryAgain) {
		b, err = s.blob(ctx, key, img, i)
	}
	return b, err
}

func (s *Spool) blob(ctx context.Context, key blobKey, img *Image, i int) (*SpooledBlob, error) {
	m, err := s.join(ctx, key, false, func() job { return s.blobJob(img, i, key.encoding) })
	if err != nil {
		return nil, err
	}
	b := &SpooledBlob{making: m}
	err = m.until(ctx, nil, func() bool {
		b.Blob = m.blob
		return m.blob.Digest != ""
	})
	s.leave(m)
	if err = errors.Join(err, s.drop(m)); err != nil {
		return nil, err
	}
	return b, nil
}

// encodingFor a host: what is stored compressed passes unchanged if the host reads it.
func encodingFor(stored Compression, want Accept) Compression {
	if stored == Gzip || !want.Zstd {
		return Gzip
	}
	return Zstd
}
