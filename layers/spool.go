package layers

import (
	"context"
	"crypto/sha256"
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

// maxProductions is how many layers are read and compressed at once: each uses up to two cores, and 15 MB.
const maxProductions = 2

// SpoolOptions configure a Spool.
type SpoolOptions struct {
	Dir   string // made with mode 0700; shared with other runs and processes
	Quota int64  // bytes; 0 = DefaultQuota
	Emit  event.Func
}

// Spool makes the blobs that hosts are sent, each once per run however many hosts ask for it, and keeps them on disk
// for later runs. It is safe for concurrent use.
type Spool struct {
	cache *cache
	emit  event.Func
	slots chan struct{}

	mu     sync.Mutex
	blobs  map[blobKey]*production
	closed bool
}

// SpooledBlob is a blob that is ready to be sent: Digest and Size are known.
type SpooledBlob struct {
	Blob
	open func(ctx context.Context) (io.ReadCloser, error)
}

// Open reads the blob, verified as Image.Open does. It may be called often and at the same time, until the Spool or the
// image's Source is closed.
func (b *SpooledBlob) Open(ctx context.Context) (io.ReadCloser, error) { return b.open(ctx) }

type blobKey struct {
	diffID   DiffID
	encoding Compression
}

// production is one making of a blob; done is closed when blob or err is set.
type production struct {
	done chan struct{}
	blob *SpooledBlob
	file *cachedLayer // nil = the source's own bytes
	err  error
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
	return &Spool{cache: c, emit: o.Emit, slots: make(chan struct{}, maxProductions), blobs: make(map[blobKey]*production)}, nil
}

// Close frees what the spool holds open. Call it when no blob of it is being made or read any more.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for _, p := range s.blobs {
		if p.file != nil {
			errs = append(errs, p.file.file.Close())
		}
	}
	s.blobs = nil
	return errors.Join(append(errs, s.cache.Close())...)
}

// Blob returns layer i of img as a host that accepts want should get it: as the source stores it if it is compressed in
// a way the host reads, else compressed with zstd or gzip. It returns once the whole blob is there. Callers that ask
// for the same blob share one making of it; if its caller gives up, the next one takes over.
func (s *Spool) Blob(ctx context.Context, img *Image, i int, want Accept) (*SpooledBlob, error) {
	l := img.Layers[i]
	key := blobKey{l.DiffID, encodingFor(l.Blob.Compression, want)}
	for {
		p, mine, err := s.claim(key)
		if err != nil {
			return nil, err
		}
		if mine {
			s.finish(key, p, s.produce(ctx, p, img, i, key.encoding))
			return p.blob, p.err
		}
		select {
		case <-p.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if p.err == nil {
			return p.blob, nil
		}
		var gone abandoned
		if ctx.Err() != nil || !errors.As(p.err, &gone) {
			return nil, p.err
		}
	}
}

// abandoned is the error of a making that ended because its caller gave up, not because the blob cannot be made.
type abandoned struct{ error }

func (a abandoned) Unwrap() error { return a.error }

// encodingFor a host: what is stored compressed passes unchanged if the host reads it.
func encodingFor(stored Compression, want Accept) Compression {
	if stored == Gzip || !want.Zstd {
		return Gzip
	}
	return Zstd
}

// claim returns the making of key and whether the caller has to do it.
func (s *Spool) claim(key blobKey) (p *production, mine bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false, errors.New("layer cache is closed")
	}
	if p, ok := s.blobs[key]; ok {
		return p, false, nil
	}
	p = &production{done: make(chan struct{})}
	s.blobs[key] = p
	return p, true, nil
}

func (s *Spool) finish(key blobKey, p *production, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.err = err; err != nil {
		delete(s.blobs, key) // a later caller may have more luck
	}
	close(p.done)
}

func (s *Spool) produce(ctx context.Context, p *production, img *Image, i int, z Compression) error {
	err := s.make(ctx, p, img, i, z)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("read layer %s: %w", img.Layers[i].DiffID.Short(), err)
	if ctx.Err() != nil {
		return abandoned{err}
	}
	return err
}

// slot waits for its turn to do what takes a core; the caller gives it back.
func (s *Spool) slot(ctx context.Context) (free func(), err error) {
	select {
	case s.slots <- struct{}{}:
		return func() { <-s.slots }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (s *Spool) make(ctx context.Context, p *production, img *Image, i int, z Compression) error {
	l := img.Layers[i]
	if img.local && l.Blob.Compression == z {
		b, err := s.asStored(ctx, img, i)
		p.blob = b
		return err
	}
	file := s.cache.layer(l.DiffID, z)
	if file == nil {
		var err error
		file, err = s.encode(ctx, img, i, z)
		if err != nil && ctx.Err() == nil && img.again != nil && img.again(err) {
			file, err = s.encode(ctx, img, i, z)
		}
		if err != nil {
			return err
		}
	}
	p.file = file
	p.blob = &SpooledBlob{Blob: file.blob, open: func(context.Context) (io.ReadCloser, error) { return file.open(), nil }}
	return nil
}

// asStored passes the source's own bytes on. Where the source cannot name them, they are read once for their digest.
func (s *Spool) asStored(ctx context.Context, img *Image, i int) (*SpooledBlob, error) {
	blob := img.Layers[i].Blob
	if blob.Digest != "" && blob.Size >= 0 {
		return &SpooledBlob{Blob: blob, open: func(ctx context.Context) (io.ReadCloser, error) { return img.Open(ctx, i) }}, nil
	}
	free, err := s.slot(ctx)
	if err != nil {
		return nil, err
	}
	defer free()
	r, err := s.reader(ctx, img, i)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	blob.Size, err = io.Copy(h, r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	blob.Digest = sumOf(h)
	return &SpooledBlob{Blob: blob, open: func(ctx context.Context) (io.ReadCloser, error) {
		r, err := img.Open(ctx, i)
		if err != nil {
			return nil, err
		}
		return verify(r, blob.Digest, blob.Size), nil
	}}, nil
}

func (s *Spool) encode(ctx context.Context, img *Image, i int, z Compression) (*cachedLayer, error) {
	free, err := s.slot(ctx)
	if err != nil {
		return nil, err
	}
	defer free()
	l := img.Layers[i]
	return s.cache.add(z, func(w io.Writer) (DiffID, error) {
		r, err := s.reader(ctx, img, i)
		if err != nil {
			return "", err
		}
		if l.Blob.Compression == z {
			_, err = io.Copy(w, r)
		} else {
			err = recode(w, z, r, l.Blob.Compression, l.DiffID)
		}
		return l.DiffID, errors.Join(err, r.Close())
	})
}

// reader opens a layer of the source, tells how far it is read, and fails once ctx ends.
func (s *Spool) reader(ctx context.Context, img *Image, i int) (io.ReadCloser, error) {
	r, err := img.Open(ctx, i)
	if err != nil {
		return nil, err
	}
	l := img.Layers[i]
	e := event.Event{Type: event.Progress, Phase: "read", Item: l.DiffID.Short(), Total: l.Blob.Roughly()}
	return &watchedReader{ReadCloser: r, ctx: ctx, emit: s.emit, event: e}, nil
}

// watchedReader lives as long as one call of Spool.Blob, whose ctx it watches.
type watchedReader struct {
	io.ReadCloser
	ctx   context.Context
	emit  event.Func
	event event.Event
	told  int64
}

// tellEvery so many bytes there is a progress event.
const tellEvery = 4 << 20

func (r *watchedReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	n, err := r.ReadCloser.Read(p)
	if r.event.Done += int64(n); r.event.Done-r.told >= tellEvery || err == io.EOF {
		r.told = r.event.Done
		r.emit.Emit(r.event)
	}
	return n, err
}
