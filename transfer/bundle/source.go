package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"ship/layers"
)

// Platforms of the bundle.
func (f *File) Platforms() []layers.Platform {
	out := make([]layers.Platform, len(f.Header.Platforms))
	for i, p := range f.Header.Platforms {
		out[i] = layers.Platform(p.Platform)
	}
	return out
}

// Image for a platform. Opening one of its layers that was left out is a *LeftOutError.
func (f *File) Image(_ context.Context, p layers.Platform) (*layers.Image, error) {
	i, err := layers.ChoosePlatform(f.Platforms(), p)
	if err != nil {
		return nil, err
	}
	info := f.Header.Platforms[i]
	config, err := f.config(info)
	if err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	blobs := make([]layers.Blob, len(info.Layers))
	for i, l := range info.Layers {
		blobs[i] = layers.Blob{Size: -1}
		if l.Digest != "" {
			blobs[i] = layers.Blob{Digest: l.Digest, Size: l.Size, Compression: layers.Compression(l.Compression)}
		}
	}
	img, err := layers.NewImage(f.Header.Image, config, blobs, func(_ context.Context, i int) (io.ReadCloser, error) {
		return f.openLayer(info, i)
	})
	if err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	return img, nil
}

// Missing returns the layers of img that a host lacks, and that the bundle does not have either.
func (f *File) Missing(img *layers.Image, held layers.Held) []*LeftOutError {
	var out []*LeftOutError
	for _, info := range f.Header.Platforms {
		if info.Config != img.ConfigDigest() {
			continue
		}
		for _, i := range held.Missing(img) {
			if info.Layers[i].Digest == "" {
				out = append(out, f.leftOut(info, i))
			}
		}
	}
	return out
}

func (f *File) leftOut(info PlatformInfo, i int) *LeftOutError {
	e := &LeftOutError{Layer: info.Layers[i].DiffID, Number: i + 1, Of: len(info.Layers), Platform: info.Platform}
	if f.Header.Inventory != nil {
		e.Inventory = *f.Header.Inventory
	}
	return e
}

func (f *File) openLayer(info PlatformInfo, i int) (io.ReadCloser, error) {
	l := info.Layers[i]
	if l.Digest == "" {
		return nil, f.leftOut(info, i)
	}
	return f.open(l.Digest)
}

// open reads a blob, which the header was checked to have a place for.
func (f *File) open(d layers.Digest) (io.ReadCloser, error) {
	for _, p := range f.layout.places {
		if p.Name == blobName(d) {
			return f.section(p.at, p.Size), nil
		}
	}
	return nil, fmt.Errorf("no blob %s", d.Short())
}

// config reads an image's config, and checks that it has the layers of the header.
func (f *File) config(info PlatformInfo) ([]byte, error) {
	r, err := f.open(info.Config)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(r, maxHeader+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	if got := layers.DigestOf(raw); got != info.Config {
		return nil, &layers.MismatchError{Want: info.Config, Got: got, WantSize: -1, GotSize: int64(len(raw))}
	}
	var c struct {
		RootFS struct {
			DiffIDs []layers.DiffID `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if !slices.EqualFunc(c.RootFS.DiffIDs, info.Layers, func(d layers.DiffID, l LayerInfo) bool { return d == l.DiffID }) {
		return nil, &ForeignError{f.data.path, "its header names other layers than the image's config"}
	}
	return raw, nil
}
