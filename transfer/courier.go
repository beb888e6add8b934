package transfer

import (
	"context"
	"fmt"
	"io"

	"ship/internal/docker"
	"ship/layers"
)

// courier brings the missing layers to one host and feeds its engine.
type courier interface {
	// layer returns layer i once a load can have it.
	layer(ctx context.Context, i int) (parcel, error)
	// ahead is how many layers may be waited for at once.
	ahead() int
	// writer is what an archive is written to on its way to w, which leads to load.
	writer(w io.Writer) io.Writer
	// load feeds what was written to the engine; see docker.Client.LoadImage.
	load(ctx context.Context, r io.Reader) (docker.LoadResult, error)
}

// parcel is a layer that is ready for a load.
type parcel struct {
	layers.Blob
	open func(ctx context.Context) (io.ReadCloser, error)
}

// direct sends every layer from here, inside the archive. It needs nothing on the host but its engine.
type direct struct {
	engine   Engine
	spool    *layers.Spool
	image    *layers.Image
	accept   layers.Accept
	progress *progress
}

// fetchAhead is how many layers a host waits for at once, which is how many a spool makes at once.
const fetchAhead = 2

func (d direct) ahead() int { return fetchAhead }

func (d direct) layer(ctx context.Context, i int) (parcel, error) {
	b, err := d.spool.Blob(ctx, d.image, i, d.accept)
	if err != nil {
		return parcel{}, &stepError{"read", err}
	}
	d.progress.expect(b.Size - sendSize(d.image.Layers[i].Blob))
	return parcel{b.Blob, func(ctx context.Context) (io.ReadCloser, error) {
		return d.open(ctx, d.image.Layers[i].DiffID, b)
	}}, nil
}

// open tells that the layer is being sent, and counts its bytes.
func (d direct) open(ctx context.Context, id layers.DiffID, b *layers.SpooledBlob) (io.ReadCloser, error) {
	r, err := b.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("read layer %s: %w", id.Short(), err)
	}
	d.progress.layer(id, "send", "sending", b.Size)
	return counted{r, d.progress}, nil
}

func (d direct) writer(w io.Writer) io.Writer { return w }

func (d direct) load(ctx context.Context, r io.Reader) (docker.LoadResult, error) {
	return d.engine.LoadImage(ctx, r)
}
