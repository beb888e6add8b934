package layers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"ship/internal/event"
)

// graphSource is an image of an engine with a graph driver.
type graphSource struct {
	engine  Engine
	id      Digest
	cache   *cache
	emit    event.Func
	img     *Image
	overlay *overlayImage // nil = not to be read
	folder  *engineFolder // the same, read by the engine; nil = it has none
	chain   []ChainID     // of the layers

	mu    sync.Mutex // held while exporting, too: whoever needs a layer has to wait for it anyway
	bad   error      // why overlay and folder are not used any more
	files map[DiffID]*cachedLayer
	// forgotten are damaged, and perhaps still being read.
	forgotten []*cachedLayer
}

func openGraph(ctx context.Context, r Ref, e Engine, store EngineStore, id Digest, o OpenOptions) (Source, error) {
	c, err := openCache(o.CacheDir, o.Quota)
	if err != nil {
		return nil, fmt.Errorf("open layer cache: %w", err)
	}
	s := &graphSource{engine: e, id: id, cache: c, emit: o.Emit, files: make(map[DiffID]*cachedLayer)}
	if err := s.describe(ctx, store, r.Transport != TransportSSH); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", r, err), s.Close())
	}
	s.img.Ref = daemonName(r)
	return s, nil
}

func (s *graphSource) Platforms() []Platform { return []Platform{s.img.Platform} }

func (s *graphSource) Image(_ context.Context, p Platform) (*Image, error) {
	if _, err := choosePlatform(s.Platforms(), p); err != nil {
		return nil, err
	}
	return s.img, nil
}

func (s *graphSource) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.file.Close())
	}
	for _, f := range s.forgotten {
		errs = append(errs, f.file.Close())
	}
	s.files, s.forgotten = nil, nil
	if s.folder != nil {
		errs = append(errs, s.folder.Close())
	}
	return errors.Join(append(errs, s.cache.Close())...)
}

// describe makes s.img, from what is at hand if it can. The folder of an engine that is not local may be there as well,
// and be that of another engine.
func (s *graphSource) describe(ctx context.Context, store EngineStore, local bool) error {
	if o, err := openOverlay(store, s.id); local && err == nil {
		s.overlay = o
		tell(s.emit, "reading single layers from the engine's folder, nothing is exported")
		return s.setImage(o.config)
	}
	if store.Driver == overlay2 && store.RootDir != "" {
		s.folder = &engineFolder{engine: s.engine, root: store.RootDir, id: s.id, cache: s.cache, emit: s.emit}
	}
	config, err := s.findConfig(ctx)
	if err != nil {
		return err
	}
	if err := s.setImage(config); err != nil {
		return err
	}
	s.estimate(ctx)
	return nil
}

// findConfig finds the image's config in the cache, in the engine's folder or in an export.
func (s *graphSource) findConfig(ctx context.Context) ([]byte, error) {
	if config := s.cache.config(s.id); config != nil {
		tell(s.emit, "the image is known from an earlier run, its layers come from the cache where they are in it")
		return config, nil
	}
	if s.folder != nil {
		config, err := s.folder.config(ctx)
		if err == nil {
			err = s.cache.addConfig(config)
		}
		if err == nil {
			return config, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		s.giveUpFolder(err)
	}
	tell(s.emit, "the engine exports the whole image, once")
	return s.export(ctx)
}

func (s *graphSource) setImage(config []byte) error {
	c, err := parseConfig(config)
	if err != nil {
		return err
	}
	s.chain = Chain(c.RootFS.DiffIDs)
	s.img = &Image{Config: config, Platform: c.platform(), local: true, open: s.open, openAt: s.openAt, again: s.again}
	for i, d := range c.RootFS.DiffIDs {
		var blob Blob
		if s.overlay != nil {
			blob = Blob{Digest: Digest(d), Size: -1, Estimate: s.overlay.layers[i].size}
		} else {
			blob = s.cachedBlob(d)
		}
		s.img.Layers = append(s.img.Layers, Layer{DiffID: d, Blob: blob})
	}
	return nil
}

// estimate asks the engine how large the layers are that it will put together.
func (s *graphSource) estimate(ctx context.Context) {
	steps, err := s.engine.StepSizes(ctx, string(s.id))
	if err != nil {
		return // nobody needs it
	}
	c, err := parseConfig(s.img.Config)
	if err != nil || len(c.History) != len(steps) {
		return
	}
	var sizes []int64
	for i, h := range c.History {
		if !h.EmptyLayer {
			sizes = append(sizes, steps[i])
		}
	}
	for i := range s.img.Layers {
		if b := &s.img.Layers[i].Blob; len(sizes) == len(s.img.Layers) && b.Size < 0 && b.Compression == Plain {
			b.Estimate = sizes[i]
		}
	}
}

// cachedBlob of a layer; what it will be, if the engine has to give it first.
func (s *graphSource) cachedBlob(d DiffID) Blob {
	if f := s.cached(d); f != nil {
		return f.blob
	}
	if s.folder != nil && s.bad == nil {
		return Blob{Digest: Digest(d), Size: -1}
	}
	return Blob{Size: -1, Compression: Zstd}
}

func (s *graphSource) cached(d DiffID) *cachedLayer {
	if s.files[d] == nil {
		if f := s.cache.layer(d, Zstd); f != nil {
			s.files[d] = f
		}
	}
	return s.files[d]
}

func (s *graphSource) open(ctx context.Context, i int) (io.ReadCloser, error) {
	if r, err := s.openFolder(ctx, i); r != nil || err != nil {
		return r, err
	}
	l := s.img.Layers[i]
	f, err := s.exported(ctx, l.DiffID)
	if err != nil {
		return nil, err
	}
	if l.Blob.Compression != Plain {
		return f.open(), nil
	}
	return f.unpack(l.DiffID)
}

// openFolder reads a layer from the engine's folder; nil and no error where that is not the way.
func (s *graphSource) openFolder(ctx context.Context, i int) (r io.ReadCloser, err error) {
	d := s.img.Layers[i].DiffID
	s.mu.Lock()
	usable := s.bad == nil && (s.overlay != nil || s.folder != nil && s.cached(d) == nil)
	s.mu.Unlock() // what follows takes its time, and other layers need not wait
	if !usable {
		return nil, nil
	}
	if s.overlay != nil {
		r, err = s.overlay.open(i)
	} else {
		r, err = s.folder.layer(ctx, s.chain[i], d)
	}
	if err == nil {
		return r, nil
	}
	if ctx.Err() != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.giveUpFolder(err)
	return nil, nil
}

// again: a layer whose folder turned out to hold something else is exported instead, one that was damaged in the cache
// is anew.
func (s *graphSource) again(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var folder *overlayError
	if !errors.As(err, &folder) {
		return errors.Is(err, ErrTryAgain)
	}
	s.giveUpFolder(err)
	return true
}

// giveUpFolder turns to the export for good. An engine that does not give its folder is no cause for a warning.
func (s *graphSource) giveUpFolder(err error) {
	if s.bad != nil {
		return // another layer has found out
	}
	s.bad = err
	var refused *refusedError
	if errors.As(err, &refused) {
		tell(s.emit, fmt.Sprintf("the engine gives no single layers (%v): it exports the image instead", err))
		return
	}
	s.emit.Emit(event.Event{Type: event.Warning, Phase: "read",
		Text: fmt.Sprintf("the engine's folder cannot be read (%v): the engine exports the image instead", err)})
}

// export has the engine write the image, keeps its layers and config in the cache, and returns the config.
func (s *graphSource) export(ctx context.Context) ([]byte, error) {
	r, err := s.engine.SaveImage(ctx, string(s.id))
	if err != nil {
		return nil, fmt.Errorf("export image: %w", err)
	}
	x := &exported{cache: s.cache, emit: s.emit, files: s.files}
	config, err := x.read(&contextReader{ctx, r}, s.id)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("export image: %w", err)
	}
	if err := s.cache.addConfig(config); err != nil {
		return nil, fmt.Errorf("export image: %w", err)
	}
	return config, nil
}
