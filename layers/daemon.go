package layers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"ship/internal/event"
)

// openDaemon opens an image of the local engine, in the best of three ways, and tells which:
//
//   - a containerd store gives single blobs, as they were built or pulled;
//   - the folders of a graph driver's overlay2, where we may read them, give single layers;
//   - else the engine has to export the image, which it can only do whole: once, into the cache. An image that did not
//     change since is not exported again; one that did is, however small the change.
func openDaemon(ctx context.Context, r Ref, e Engine, o OpenOptions) (Source, error) {
	store, err := e.Store(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the local engine: %w", err)
	}
	s, err := e.ImageID(ctx, r.Name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	id, err := ParseDigest(s)
	if err != nil {
		return nil, fmt.Errorf("%s: image ID: %w", r, err)
	}
	if store.Containerd {
		return openContent(ctx, r, e, id, o.Emit)
	}
	return openGraph(ctx, r, e, store, id, o)
}

// contentStore is the blobs of a containerd store.
type contentStore struct {
	engine Engine
	has    map[Digest]bool
}

func (c contentStore) cheap() bool { return false }

func (c contentStore) openBlob(ctx context.Context, d Digest) (io.ReadCloser, error) {
	if !c.has[d] {
		return nil, fmt.Errorf("blob %s: the engine does not hold it: %w", d.Short(), fs.ErrNotExist)
	}
	return c.engine.ReadContent(ctx, string(d))
}

func openContent(ctx context.Context, r Ref, e Engine, id Digest, emit event.Func) (Source, error) {
	contents, err := e.Contents(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the engine's blobs: %w", err)
	}
	blobs := contentStore{engine: e, has: make(map[Digest]bool, len(contents))}
	for _, c := range contents {
		blobs.has[Digest(c.Digest)] = true
	}
	variants, err := findVariants(ctx, blobs, []descriptor{{Digest: id}}, maxIndexDepth)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	if len(variants) == 0 {
		return nil, fmt.Errorf("%s: the engine holds no platform of it completely", r)
	}
	tell(emit, "the engine's containerd store gives single layers")
	return &ociSource{blobs: blobs, ref: daemonName(r), variants: variants}, nil
}

// graphSource is an image of an engine with a graph driver.
type graphSource struct {
	engine  Engine
	id      Digest
	cache   *cache
	emit    event.Func
	img     *Image
	overlay *overlayImage // nil = not to be read

	mu    sync.Mutex // held while exporting, too: whoever needs a layer has to wait for it anyway
	bad   error      // why overlay is not used any more
	files map[DiffID]*cachedLayer
}

func openGraph(ctx context.Context, r Ref, e Engine, store EngineStore, id Digest, o OpenOptions) (Source, error) {
	c, err := openCache(o.CacheDir, o.Quota)
	if err != nil {
		return nil, fmt.Errorf("open layer cache: %w", err)
	}
	s := &graphSource{engine: e, id: id, cache: c, emit: o.Emit, files: make(map[DiffID]*cachedLayer)}
	if err := s.describe(ctx, store); err != nil {
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
	s.files = nil
	return errors.Join(append(errs, s.cache.Close())...)
}

// describe makes s.img, from what is at hand if it can.
func (s *graphSource) describe(ctx context.Context, store EngineStore) error {
	if o, err := openOverlay(store, s.id); err == nil {
		s.overlay = o
		tell(s.emit, "reading single layers from the engine's folder, nothing is exported")
		return s.setImage(o.config)
	}
	config := s.cache.config(s.id)
	if config == nil {
		tell(s.emit, "the engine exports the whole image, once")
		var err error
		if config, err = s.export(ctx); err != nil {
			return err
		}
		return s.setImage(config)
	}
	if err := s.setImage(config); err != nil {
		return err
	}
	tell(s.emit, "the image is known from an earlier run, its layers come from the cache")
	return nil
}

func (s *graphSource) setImage(config []byte) error {
	c, err := parseConfig(config)
	if err != nil {
		return err
	}
	s.img = &Image{Config: config, Platform: c.platform(), local: true, open: s.open, again: s.again}
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

// cachedBlob of a layer; what it will be, if it has to be exported first.
func (s *graphSource) cachedBlob(d DiffID) Blob {
	if f := s.cached(d); f != nil {
		return f.blob
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
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.img.Layers[i]
	if s.overlay != nil && s.bad == nil {
		r, err := s.overlay.open(i)
		if err == nil {
			return r, nil
		}
		s.giveUpOverlay(err)
	}
	f := s.cached(l.DiffID)
	if f == nil {
		if s.overlay == nil {
			tell(s.emit, "a layer is not in the cache: the engine exports the whole image, once")
		}
		if _, err := s.export(ctx); err != nil {
			return nil, err
		}
		if f = s.files[l.DiffID]; f == nil {
			return nil, fmt.Errorf("the engine's export lacks layer %s", l.DiffID.Short())
		}
	}
	if l.Blob.Compression != Plain {
		return f.open(), nil
	}
	plain, err := unpack(f.open(), f.blob.Compression)
	if err != nil {
		return nil, err
	}
	return verify(plain, Digest(l.DiffID), -1), nil
}

// again: a layer whose folder turned out to hold something else is exported instead.
func (s *graphSource) again(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var folder *overlayError
	if !errors.As(err, &folder) || s.overlay == nil {
		return false
	}
	if s.bad != nil {
		return true // another layer has found out
	}
	s.giveUpOverlay(err)
	return true
}

func (s *graphSource) giveUpOverlay(err error) {
	s.bad = err
	s.emit.Emit(event.Event{Type: event.Warning, Phase: "read",
		Text: fmt.Sprintf("a layer in the engine's folder cannot be read (%v): the engine exports the image instead", err)})
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

// daemonName is what people call the image; "" if they gave an ID.
func daemonName(r Ref) string {
	short, err := FamiliarRef(r.Name)
	if err != nil {
		return ""
	}
	return short
}

func tell(emit event.Func, text string) {
	emit.Emit(event.Event{Type: event.Message, Phase: "read", Text: text})
}
