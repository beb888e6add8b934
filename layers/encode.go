package layers

import (
	"context"
	"errors"
	"fmt"
	"io"

	"ship/internal/event"
)

// blobJob makes the blob of layer i in encoding z: from the source's own bytes, from the cache, or by reading the layer.
func (s *Spool) blobJob(img *Image, i int, z Compression) job {
	l := img.Layers[i]
	place := s.makers.enter()
	return func(ctx context.Context, m *making) error {
		defer place.leave()
		err := s.find(ctx, m, img, i, z)
		if errors.Is(err, errNoBytes) {
			err = s.encode(ctx, m, img, i, z, place)
		}
		if err != nil {
			return fmt.Errorf("read layer %s: %w", l.DiffID.Short(), err)
		}
		return nil
	}
}

// encode compresses the layer. If the source has another way to read it after a failure, that is taken, unless somebody
// was promised bytes that came the first.
func (s *Spool) encode(ctx context.Context, m *making, img *Image, i int, z Compression, place *turn) error {
	if err := place.wait(ctx); err != nil {
		return err
	}
	err := s.encodeOnce(ctx, m, img, i, z)
	if err == nil || ctx.Err() != nil || img.again == nil || !img.again(err) {
		return err
	}
	if !m.restart() {
		return fmt.Errorf("%w: %w", err, ErrTryAgain)
	}
	return s.encodeOnce(ctx, m, img, i, z)
}

func (s *Spool) encodeOnce(ctx context.Context, m *making, img *Image, i int, z Compression) error {
	l := img.Layers[i]
	r, err := s.reader(ctx, img, i)
	if err != nil {
		return err
	}
	file, err := s.cache.create(m.advance)
	if err != nil {
		return errors.Join(err, r.Close())
	}
	m.start(file.read, file.read.Close)
	size := int64(-1) // of the layer, unpacked
	switch {
	case l.Blob.Compression != z:
		size, err = recode(file, z, r, l.Blob.Compression, l.DiffID)
	case img.unproven || l.Blob.Digest == "":
		size, err = copyInside(file, r, z, l.DiffID)
	default:
		_, err = io.Copy(file, r)
	}
	if err = errors.Join(err, r.Close()); err != nil {
		return errors.Join(err, file.discard())
	}
	kept, err := file.keep(l.DiffID, z)
	if err != nil {
		return err
	}
	if size >= 0 {
		s.unpacked(l.DiffID, size)
	}
	s.settle(ctx, m, kept.blob, kept.spoil, nil)
	return nil
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

// watchedReader lives as long as one job, whose ctx it watches.
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
