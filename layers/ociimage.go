package layers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// readImage reads the manifest and config of an image, and looks at the first bytes of its layers.
func readImage(ctx context.Context, blobs blobStore, d descriptor) (*Image, error) {
	raw, err := readBlob(ctx, blobs, "manifest", d)
	if err != nil {
		return nil, err
	}
	var m ociManifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", d.Digest.Short(), err)
	}
	c, config, err := readConfig(ctx, blobs, m.Config)
	if err != nil {
		return nil, err
	}
	if len(m.Layers) != len(c.RootFS.DiffIDs) {
		return nil, fmt.Errorf("manifest %s has %d layers, its config %d", d.Digest.Short(), len(m.Layers), len(c.RootFS.DiffIDs))
	}
	img := &Image{Config: config, Platform: c.platform(), local: blobs.cheap()}
	for i, l := range m.Layers {
		blob, err := describeLayer(ctx, blobs, l, c.RootFS.DiffIDs[i])
		if err != nil {
			return nil, fmt.Errorf("layer %d of %d: %w", i+1, len(m.Layers), err)
		}
		img.Layers = append(img.Layers, Layer{DiffID: c.RootFS.DiffIDs[i], Blob: blob})
	}
	img.openAt = func(_ context.Context, i int) (*storedBlob, error) { return blobs.stored(img.Layers[i].Blob) }
	img.open = func(ctx context.Context, i int) (io.ReadCloser, error) {
		b := img.Layers[i].Blob
		r, err := blobs.openBlob(ctx, b.Digest)
		if err != nil {
			return nil, err
		}
		return verify(r, b.Digest, b.Size), nil
	}
	return img, nil
}

func describeLayer(ctx context.Context, blobs blobStore, l descriptor, d DiffID) (Blob, error) {
	if err := refuseMedia(l.MediaType); err != nil {
		return Blob{}, err
	}
	if _, err := ParseDigest(string(l.Digest)); err != nil || l.Size < 0 {
		return Blob{}, fmt.Errorf("invalid descriptor: digest %.80q, %d bytes", l.Digest, l.Size)
	}
	head, err := readHead(ctx, func(ctx context.Context, d string) (io.ReadCloser, error) {
		return blobs.openBlob(ctx, Digest(d))
	}, string(l.Digest))
	if errors.Is(err, fs.ErrNotExist) && len(l.URLs) > 0 {
		return Blob{}, fmt.Errorf("its content is kept elsewhere, at %.200q", l.URLs[0])
	}
	if err != nil {
		return Blob{}, err
	}
	z, err := sniff(head)
	if err != nil {
		return Blob{}, err
	}
	if z == Plain && l.Digest != Digest(d) {
		return Blob{}, &MismatchError{Want: Digest(d), Got: l.Digest, WantSize: -1}
	}
	return Blob{Digest: l.Digest, Size: l.Size, Compression: z}, nil
}

func readConfig(ctx context.Context, blobs blobStore, d descriptor) (imageConfig, []byte, error) {
	raw, err := readBlob(ctx, blobs, "config", d)
	if err != nil {
		return imageConfig{}, nil, err
	}
	c, err := parseConfig(raw)
	return c, raw, err
}

// readBlob reads a JSON document that d describes.
func readBlob(ctx context.Context, blobs blobStore, what string, d descriptor) ([]byte, error) {
	if _, err := ParseDigest(string(d.Digest)); err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	r, err := blobs.openBlob(ctx, d.Digest)
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", what, d.Digest.Short(), err)
	}
	raw, err := readMetadata(r, what+" "+d.Digest.Short(), d.Digest)
	return raw, errors.Join(err, r.Close())
}
