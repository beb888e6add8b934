package layers

import (
	"context"
	"fmt"
)

// openAt is for layers that come from the cache.
func (s *graphSource) openAt(ctx context.Context, i int) (*storedBlob, error) {
	f, err := s.exported(ctx, s.img.Layers[i].DiffID)
	if err != nil {
		return nil, err
	}
	b := f.stored()
	b.free = nil // the source closes it
	return b, nil
}

// exported returns a layer from the cache, where an export puts it.
func (s *graphSource) exported(ctx context.Context, d DiffID) (*cachedLayer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.files[d]; f != nil && f.damaged.Load() {
		delete(s.files, d)
		s.forgotten = append(s.forgotten, f)
	}
	if f := s.cached(d); f != nil {
		return f, nil
	}
	if s.bad == nil {
		tell(s.emit, "a layer is not in the cache: the engine exports the whole image, once")
	}
	if _, err := s.export(ctx); err != nil {
		return nil, err
	}
	if f := s.files[d]; f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("the engine's export lacks layer %s", d.Short())
}
