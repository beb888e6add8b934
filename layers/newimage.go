package layers

import (
	"context"
	"fmt"
	"io"
	"slices"
)

// NewImage makes an image of a config and of blobs that are kept elsewhere: one for each diff ID of the config, bottom
// first. Open returns the bytes of blob i and is called whenever the layer is read; what it returns is verified. A blob's
// Digest may be "" and its Size -1.
func NewImage(ref string, config []byte, blobs []Blob, open func(ctx context.Context, i int) (io.ReadCloser, error)) (*Image, error) {
	c, err := parseConfig(config)
	if err != nil {
		return nil, fmt.Errorf("new image: %w", err)
	}
	if len(blobs) != len(c.RootFS.DiffIDs) {
		return nil, fmt.Errorf("new image: %d blobs for a config of %d layers", len(blobs), len(c.RootFS.DiffIDs))
	}
	img := &Image{Ref: ref, Config: slices.Clone(config), Platform: c.platform(), unproven: true}
	for i, d := range c.RootFS.DiffIDs {
		b, err := checkBlob(blobs[i], d)
		if err != nil {
			return nil, fmt.Errorf("new image: layer %d of %d: %w", i+1, len(blobs), err)
		}
		img.Layers = append(img.Layers, Layer{DiffID: d, Blob: b})
	}
	img.open = func(ctx context.Context, i int) (io.ReadCloser, error) {
		r, err := open(ctx, i)
		if err != nil {
			return nil, err
		}
		b := img.Layers[i].Blob
		if b.Digest == "" {
			return r, nil // compressed, and without a name: what is inside is compared with the diff ID
		}
		return verify(r, b.Digest, b.Size), nil
	}
	return img, nil
}

// checkBlob checks what is said of the blob of layer d. A plain blob is named by the diff ID.
func checkBlob(b Blob, d DiffID) (Blob, error) {
	if b.Compression == Plain && b.Digest == "" {
		b.Digest = Digest(d)
	}
	if b.Digest != "" {
		if _, err := ParseDigest(string(b.Digest)); err != nil {
			return Blob{}, err
		}
	}
	switch {
	case b.Compression != Plain && b.Compression != Gzip && b.Compression != Zstd:
		return Blob{}, fmt.Errorf("compressed as %.40q, which nothing here reads", b.Compression)
	case b.Compression == Plain && b.Digest != Digest(d):
		return Blob{}, &MismatchError{Want: Digest(d), Got: b.Digest, WantSize: -1}
	case b.Size < -1 || b.Estimate < 0:
		return Blob{}, fmt.Errorf("size %d, estimate %d bytes", b.Size, b.Estimate)
	}
	return b, refuseMedia(b.MediaType)
}
