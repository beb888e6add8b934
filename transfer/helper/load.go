package helper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/klauspost/compress/zstd"

	"ship/internal/docker"
	"ship/layers"
	"ship/layers/delta"
	"ship/transfer/engine"
	"ship/transfer/wire"
)

// maxMetadata bounds what an archive may have in bytes beside its layers.
const maxMetadata = 64 << 20

// load is one `docker load` whose archive comes in pieces.
type load struct {
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	come  sync.Cond
	data  []byte
	size  int
	whole bool
	err   error
}

func (s *session) handleLoad(ctx context.Context, k wire.Kind, id uint32, data []byte) error {
	s.mu.Lock()
	l := s.loads[id]
	s.mu.Unlock()
	if k == wire.KindLoad {
		if l != nil {
			return fmt.Errorf("%w: load %d begins twice", wire.ErrFrame, id)
		}
		s.startLoad(ctx, id)
		return nil
	}
	if l == nil {
		return nil // over already
	}
	switch k {
	case wire.KindLoadData:
		l.add(data)
	case wire.KindLoadEnd:
		l.end()
	case wire.KindAbort:
		l.abort(context.Canceled)
	}
	return nil
}

func (s *session) startLoad(ctx context.Context, id uint32) {
	ctx, cancel := context.WithCancelCause(ctx)
	l := &load{cancel: cancel}
	l.come.L = &l.mu
	s.mu.Lock()
	s.loads[id] = l
	s.mu.Unlock()
	s.tasks.Go(func() {
		defer cancel(nil)
		stop := context.AfterFunc(ctx, func() { l.abort(context.Cause(ctx)) })
		defer stop()
		res, err := s.load(ctx, l)
		s.mu.Lock()
		delete(s.loads, id)
		s.mu.Unlock()
		done := wire.Loaded{ID: id, Refs: res.Refs, IDs: res.IDs, Error: reason(err)}
		var refused *docker.LoadError
		var api *docker.APIError
		if errors.As(err, &refused) {
			done.Answer, done.Error = true, refused.Message
		} else if errors.As(err, &api) {
			done.Answer = true
		}
		var base *baseError
		done.Base = errors.As(err, &base)
		s.tell(wire.KindLoaded, done)
	})
}

// load streams the archive into the engine.
func (s *session) load(ctx context.Context, l *load) (docker.LoadResult, error) {
	r, w := io.Pipe()
	copied := make(chan error, 1)
	go func() {
		err := wire.CopyPieces(w, l, func(x wire.Splice) (io.ReadCloser, error) { return s.splice(ctx, x) })
		_ = w.CloseWithError(err) // never fails; nil is the end of the archive
		copied <- err
	}()
	res, err := s.engine.LoadImage(ctx, r)
	_ = r.Close() // never fails; an engine that answers early leaves the writer blocked
	l.abort(io.ErrClosedPipe)
	cerr := <-copied
	var base *baseError
	if errors.As(cerr, &base) {
		return res, cerr
	}
	return res, err
}

// splice opens the bytes of a layer.
func (s *session) splice(ctx context.Context, x wire.Splice) (io.ReadCloser, error) {
	if x.Own {
		return s.own(ctx, x)
	}
	b := s.blob(x.Blob)
	if b == nil {
		return nil, fmt.Errorf("blob %d is not open", x.Blob)
	}
	switch {
	case x.Unpack:
		return unpacked(b.Reader(ctx))
	case x.Base == "":
		return b.Reader(ctx), nil
	}
	old, err := s.old(ctx, x.BaseImage, x.Base)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	p := &patched{PipeReader: r, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		patch := b.Reader(ctx)
		_, err := delta.Apply(ctx, w, old, patch)
		err = errors.Join(err, patch.Close(), old.Close())
		if err != nil {
			err = &baseError{err}
		}
		_ = w.CloseWithError(err) // never fails
	}()
	return p, nil
}

// old opens a layer of an image that the engine holds.
func (s *session) old(ctx context.Context, image, diffID string) (layers.PlainLayer, error) {
	id, err := layers.ParseDiffID(diffID)
	if err != nil {
		return nil, &baseError{err}
	}
	l, _, err := layers.EnginePlain(ctx, engine.Source(s.engine), image, id, s.work.dir)
	if err != nil {
		return nil, &baseError{err}
	}
	return l, nil
}

// own reads a layer that the engine has under another chain ID. The engine checks it against the diff ID.
func (s *session) own(ctx context.Context, x wire.Splice) (io.ReadCloser, error) {
	l, err := s.old(ctx, x.BaseImage, x.Base)
	if err != nil {
		return nil, err
	}
	if l.Size() != x.Size {
		return nil, &baseError{errors.Join(fmt.Errorf("it has %d bytes, expected %d", l.Size(), x.Size), l.Close())}
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(l, 0, l.Size()), l}, nil
}

// unpacked reads a blob that is compressed with zstd, which it closes in any case.
func unpacked(r io.ReadCloser) (io.ReadCloser, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxWindow))
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &decoded{z.IOReadCloser(), r}, nil
}

// maxWindow bounds what unpacking takes in memory, in bytes. Layers are packed with windows of 8 MiB.
const maxWindow = 128 << 20

type decoded struct {
	io.ReadCloser
	from io.Closer
}

func (d *decoded) Close() error { return errors.Join(d.ReadCloser.Close(), d.from.Close()) }

// baseError: a layer could not be made from an older one.
type baseError struct{ error }

func (e *baseError) Unwrap() error { return e.error }

// patched is a layer that is being made from an older one.
type patched struct {
	*io.PipeReader
	done chan struct{}
}

func (p *patched) Close() error {
	err := p.PipeReader.Close()
	<-p.done
	return err
}

func (l *load) add(p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size += len(p); l.size > maxMetadata && l.err == nil {
		l.err = fmt.Errorf("%w: an archive's metadata of more than %d bytes", wire.ErrFrame, maxMetadata)
	}
	if l.err == nil {
		l.data = append(l.data, p...)
	}
	l.come.Broadcast()
}

func (l *load) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.whole = true
	l.come.Broadcast()
}

// abort ends the load, unless its archive is whole in the engine already.
func (l *load) abort(cause error) {
	l.mu.Lock()
	if l.err == nil {
		l.err = cause
	}
	l.come.Broadcast()
	l.mu.Unlock()
	l.cancel(cause)
}

// Read gives the pieces as they come.
func (l *load) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.data) == 0 {
		switch {
		case l.err != nil:
			return 0, l.err
		case l.whole:
			return 0, io.EOF
		}
		l.come.Wait()
	}
	n := copy(p, l.data)
	l.data = l.data[n:]
	return n, nil
}

func (s *session) sign(ctx context.Context, x wire.Sign) {
	err := func() error {
		old, err := s.old(ctx, x.Image, x.DiffID)
		if err != nil {
			return err
		}
		err = delta.Sign(ctx, signed{s, x.ID}, io.NewSectionReader(old, 0, old.Size()))
		return errors.Join(err, old.Close())
	}()
	s.tell(wire.KindSignEnd, wire.Failed{ID: x.ID, Error: reason(err)})
}

// signed sends a signature up.
type signed struct {
	s  *session
	id uint32
}

func (w signed) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), wire.MaxFrame-16)
		if err := w.s.control.SendID(wire.KindSigned, w.id, rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// freeSpace is -1 where it cannot be told.
func freeSpace(dir string) int64 {
	if _, err := os.Stat(dir); err != nil {
		return -1
	}
	return statfs(dir)
}
