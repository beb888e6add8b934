package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"ship/internal/docker"
	"ship/layers"
)

// images opens the image for each platform once, however many hosts want it.
type images struct {
	src layers.Source

	mu   sync.Mutex
	open map[layers.Platform]*opened
}

type opened struct {
	mu  sync.Mutex
	img *layers.Image
}

func newImages(src layers.Source) *images {
	return &images{src: src, open: make(map[layers.Platform]*opened)}
}

// get returns the image for an engine, or a *PreflightError if there is none.
func (m *images) get(ctx context.Context, host string, info docker.Info) (*layers.Image, error) {
	p := layers.Platform{OS: info.OS, Arch: info.Arch}
	m.mu.Lock()
	o := m.open[p]
	if o == nil {
		o = &opened{}
		m.open[p] = o
	}
	m.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.img != nil {
		return o.img, nil
	}
	img, err := m.src.Image(ctx, p)
	var none *layers.PlatformError
	if errors.As(err, &none) {
		return nil, &PreflightError{Host: host, Cause: fmt.Sprintf("wrong architecture: the host runs %s: %v", p, err),
			Help: "build the image for " + p.String() + " too, as a multi-platform image"}
	}
	if err != nil {
		return nil, &stepError{"read", err}
	}
	o.img = img
	return img, nil
}
