package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ship/layers"
)

const (
	// loadsAtOnce: one unpacks while the next one streams.
	loadsAtOnce = 2

	// fetchAhead is how many layers a host waits for at once, which is how many a spool makes at once.
	fetchAhead = 2

	// abortGrace: an engine that has a load whole may finish it, and tag, though nobody listens any more. So a cancelled
	// push waits for it this long, in order to remove the tag.
	abortGrace = 10 * time.Second
)

// sender does one host's loads.
type sender struct {
	host     Host
	plan     HostPlan
	run      run
	spool    *layers.Spool
	pulse    *pulse
	progress *progress

	names []layers.ArchiveLayer            // how archives for this host name each layer; set in order of sending
	ready map[int]chan *layers.SpooledBlob // by layer, room for one
	begun []chan struct{}                  // by load: closed when the engine listens
	sent  []chan struct{}                  // by load: closed when its layers are written
	done  []chan struct{}                  // by load: closed when the engine has it
	mu    sync.Mutex
	tags  []string // temporary tags that are on the host, or may be
	whole int      // layers that the host has taken
}

func newSender(host Host, plan HostPlan, run run, spool *layers.Spool, silence time.Duration, p *progress) *sender {
	s := &sender{host: host, plan: plan, run: run, spool: spool, progress: p}
	s.pulse = &pulse{silence: silence, ask: func(ctx context.Context) error {
		_, err := host.Engine.Info(ctx)
		return err
	}}
	s.names = make([]layers.ArchiveLayer, len(plan.Image.Layers))
	s.ready = make(map[int]chan *layers.SpooledBlob, len(plan.Missing))
	for i, l := range plan.Image.Layers {
		if slices.Contains(plan.Missing, i) {
			s.ready[i] = make(chan *layers.SpooledBlob, 1)
			p.expect(sendSize(l.Blob))
			continue
		}
		s.names[i] = plan.Holding.Held.Name(plan.Image, i)
		p.layer(l.DiffID, "held")
	}
	for range plan.Loads {
		s.begun, s.sent, s.done = append(s.begun, make(chan struct{})), append(s.sent, make(chan struct{})), append(s.done, make(chan struct{}))
	}
	if plan.Holding.probed != "" {
		s.tags = append(s.tags, plan.Holding.probed)
	}
	return s
}

// send does all loads and returns the temporary tag of the image.
func (s *sender) send(ctx context.Context) (string, error) {
	if len(s.plan.Loads) == 0 {
		return s.plan.Holding.probed, nil
	}
	g, ctx := errgroup.WithContext(ctx)
	watching, stop := context.WithCancel(ctx)
	g.Go(func() error { return s.pulse.watch(watching) })
	g.Go(func() error { return s.fetch(ctx) })
	g.Go(func() error {
		defer stop()
		return s.loads(ctx)
	})
	err := g.Wait()
	return s.tag(s.plan.Loads[len(s.plan.Loads)-1]), err
}

// fetch gets the missing layers ready, ahead of their turn.
func (s *sender) fetch(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fetchAhead)
	for _, i := range s.plan.Missing {
		g.Go(func() error {
			b, err := s.spool.Blob(ctx, s.plan.Image, i, s.plan.Accept)
			if err != nil {
				return &stepError{"read", err}
			}
			s.progress.expect(b.Size - sendSize(s.plan.Image.Layers[i].Blob))
			s.ready[i] <- b
			return nil
		})
	}
	return g.Wait()
}

func (s *sender) loads(ctx context.Context) error {
	g, loading := errgroup.WithContext(ctx)
	for k := range s.plan.Loads {
		if k >= loadsAtOnce && !wait(loading, s.done[k-loadsAtOnce]) {
			break // the reason is in the group, or above it
		}
		g.Go(func() error { return s.load(loading, k) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if ctx.Err() != nil && !isClosed(s.done[len(s.done)-1]) {
		return &stepError{"send", context.Cause(ctx)}
	}
	return nil
}

// load does load k: its layers are streamed while the load before it still unpacks, its metadata once that is done,
// because the engine needs the layers below.
func (s *sender) load(ctx context.Context, k int) error {
	// The engine's client may bound loads at once: one must never hold the place of the load that it waits for.
	if k > 0 && !wait(ctx, s.begun[k-1]) {
		return context.Cause(ctx)
	}
	r, w := io.Pipe()
	in := &listened{PipeReader: r, begin: sync.OnceFunc(func() {
		s.pulse.work(-1)
		close(s.begun[k])
	})}
	s.pulse.work(+1) // until it listens
	writing, stopWriting := context.WithCancel(ctx)
	whole := make(chan struct{})
	wrote := make(chan error, 1)
	go func() {
		err := s.write(writing, w, k, whole)
		_ = w.CloseWithError(err) // never fails; nil is the end of the archive
		wrote <- err
	}()
	loading, stopLoading := withGrace(ctx, whole)
	_, err := s.host.Engine.LoadImage(loading, in)
	stopWriting()
	_ = r.Close() // never fails; an engine that answers early leaves the writer blocked
	in.begin()
	werr := <-wrote
	stopLoading()
	if isClosed(whole) {
		s.pulse.work(-1)
	}
	if err := loadFailed(ctx, err, werr); err != nil {
		return err
	}
	for _, i := range s.plan.Loads[k].Layers {
		s.progress.layer(s.plan.Image.Layers[i].DiffID, "loaded")
	}
	s.mu.Lock()
	s.whole += len(s.plan.Loads[k].Layers)
	s.mu.Unlock()
	close(s.done[k])
	return nil
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
	out := watched{s.pulse, w}
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
	for i := range a.Layers {
		s.names[i].Open = nil // from now on the host has it
	}
	close(s.sent[k])
	if k > 0 && !wait(ctx, s.done[k-1]) {
		return context.Cause(ctx)
	}
	s.mu.Lock()
	s.tags = append(s.tags, a.Tag)
	s.mu.Unlock()
	s.pulse.work(+1)
	close(whole)
	return a.WriteMetadata(out)
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
		case b := <-s.ready[i]:
			s.names[i] = layers.ArchiveLayer{DiffID: img.Layers[i].DiffID, Blob: b.Blob, Open: s.opener(ctx, i, b)}
		case <-ctx.Done():
			return layers.Archive{}, context.Cause(ctx)
		}
	}
	a.Layers = slices.Clone(s.names[:load.Top])
	return a, nil
}

// opener tells that the layer is being sent, and counts its bytes.
func (s *sender) opener(ctx context.Context, i int, b *layers.SpooledBlob) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		r, err := b.Open(ctx)
		if err != nil {
			return nil, fmt.Errorf("read layer %s: %w", s.plan.Image.Layers[i].DiffID.Short(), err)
		}
		s.progress.layer(s.plan.Image.Layers[i].DiffID, "sending")
		return counted{r, s.progress}, nil
	}
}

func (s *sender) tag(l Load) string { return s.run.tag(s.plan.Image.ConfigDigest(), l.Top) }

// wait returns true once c is closed, false when ctx ends before.
func wait(ctx context.Context, c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	case <-ctx.Done():
		return isClosed(c)
	}
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
