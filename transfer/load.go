package transfer

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"ship/layers"
)

// abortGrace: an engine that has a load whole may finish it, and tag, though nobody listens any more. So a cancelled
// push waits for it this long, in order to remove the tag.
const abortGrace = 10 * time.Second

// load does load k: its layers are streamed while the load before it still unpacks, its metadata once that is done,
// because the engine needs the layers below.
func (s *sender) load(ctx context.Context, k int) error {
	// The engine's client may bound loads at once: one must never hold the place of the load that it waits for.
	if k > 0 && !wait(ctx, s.begun[k-1]) {
		return context.Cause(ctx)
	}
	if err := s.stream(ctx, k); err != nil {
		return err
	}
	s.mu.Lock()
	s.whole += len(s.plan.Loads[k].Layers)
	s.mu.Unlock()
	for _, i := range s.plan.Loads[k].Layers {
		s.progress.layer(s.plan.Image.Layers[i].DiffID, "load", "loaded", s.names[i].Blob.Size)
	}
	close(s.done[k])
	return nil
}

// stream writes the archive of load k into the engine and returns what became of it.
func (s *sender) stream(ctx context.Context, k int) error {
	r, w := io.Pipe()
	in := &listened{PipeReader: r, begin: sync.OnceFunc(func() {
		s.pulse.work(-1, 0)
		close(s.begun[k])
	})}
	s.pulse.work(+1, 0) // until it listens
	writing, stopWriting := context.WithCancel(ctx)
	whole := make(chan struct{})
	wrote := make(chan error, 1)
	go func() {
		err := s.write(writing, w, k, whole)
		_ = w.CloseWithError(err) // never fails; nil is the end of the archive
		wrote <- err
	}()
	loading, stopLoading := withGrace(ctx, whole)
	_, err := s.courier.load(loading, in)
	stopWriting()
	_ = r.Close() // never fails; an engine that answers early leaves the writer blocked
	in.begin()
	werr := <-wrote
	stopLoading()
	if isClosed(whole) {
		s.pulse.work(-1, s.plainBytes(k))
	}
	return loadFailed(ctx, err, werr)
}

// listened is the archive as the engine's client reads it; begin is called when it does so.
type listened struct {
	*io.PipeReader
	begin func()
}

func (l *listened) Read(p []byte) (int, error) {
	l.begin()
	return l.PipeReader.Read(p)
}

// withGrace returns the context for a load that ends with ctx; when the engine has the load whole by then, after a
// grace. The caller calls stop when the load is over.
func withGrace(ctx context.Context, whole <-chan struct{}) (loading context.Context, stop func()) {
	loading, abort := context.WithCancelCause(context.WithoutCancel(ctx))
	var guard sync.WaitGroup
	guard.Go(func() { abortWith(ctx, loading, whole, abort) })
	return loading, func() {
		abort(nil)
		guard.Wait()
	}
}

func abortWith(ctx, loading context.Context, whole <-chan struct{}, abort context.CancelCauseFunc) {
	if !wait(loading, ctx.Done()) {
		return
	}
	var stalled *StalledError
	if isClosed(whole) && !errors.As(context.Cause(ctx), &stalled) {
		grace := time.NewTimer(abortGrace)
		defer grace.Stop()
		select {
		case <-grace.C:
		case <-loading.Done():
		}
	}
	abort(context.Cause(ctx))
}

// write writes the archive of load k, waiting its turn. It closes whole when nothing but the metadata's last bytes is
// between the engine and its work.
func (s *sender) write(ctx context.Context, w io.Writer, k int, whole chan<- struct{}) error {
	load := s.plan.Loads[k]
	out := s.courier.writer(watched{s.pulse, w})
	if k > 0 && !wait(ctx, s.sent[k-1]) || !wait(ctx, s.begun[k]) {
		return context.Cause(ctx)
	}
	a, err := s.archive(ctx, load)
	if err != nil {
		return err
	}
	if err := a.WriteLayers(out); err != nil {
		return err
	}
	for _, i := range load.Layers {
		s.names[i].Open = nil // from now on the host has it
	}
	close(s.sent[k])
	if k > 0 && !wait(ctx, s.done[k-1]) {
		return context.Cause(ctx)
	}
	s.mu.Lock()
	s.tags = append(s.tags, a.Tag)
	s.mu.Unlock()
	if k == len(s.plan.Loads)-1 {
		s.progress.phase("load") // nothing is left to send
	}
	s.pulse.work(+1, s.plainBytes(k))
	close(whole)
	return a.WriteMetadata(out)
}

// plainBytes estimates what the engine makes of load k, once all of its layers are ready.
func (s *sender) plainBytes(k int) (n int64) {
	for _, i := range s.plan.Loads[k].Layers {
		n += plainSize(s.names[i].Blob)
	}
	return n
}

// archive waits for the layers of a load and returns what `docker load` gets.
func (s *sender) archive(ctx context.Context, load Load) (layers.Archive, error) {
	img := s.plan.Image
	a := layers.Archive{Config: img.Config, Tag: s.tag(load)}
	if load.Top < len(img.Layers) {
		var err error
		if a.Config, err = layers.Prefix(img.Config, load.Top); err != nil {
			return layers.Archive{}, err
		}
	}
	for _, i := range load.Layers {
		select {
		case p := <-s.ready[i]:
			s.names[i] = layers.ArchiveLayer{DiffID: img.Layers[i].DiffID, Blob: p.Blob, Open: func() (io.ReadCloser, error) { return p.open(ctx) }}
		case <-ctx.Done():
			return layers.Archive{}, context.Cause(ctx)
		}
	}
	a.Layers = slices.Clone(s.names[:load.Top])
	return a, nil
}
