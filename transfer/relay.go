package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"ship/internal/docker"
	"ship/internal/event"
	"ship/layers"
	"ship/transfer/swarm"
	"ship/transfer/wire"
)

// relay brings layers to a host through its helper, where loads find them.
type relay struct {
	member   *swarm.Member
	plan     HostPlan
	progress *progress
	wants    map[int]*errand // by layer
	again    func(i int) *errand
	took     atomic.Bool // a layer that another host made
}

// blame makes err one of what other hosts have made, if it may be their fault: an honest digest of a false layer shows
// only when the engine unpacks it.
func (r *relay) blame(err error) error {
	if r.took.Load() && refusesLayers(err) {
		return &madeError{err}
	}
	return err
}

// errand is a layer on its way to the helper.
type errand struct {
	want  *swarm.Want
	blob  layers.Blob // of a whole layer: its compression
	made  bool        // by a host, whose word on the compression counts
	maker string      // that host
	only  bool        // it is the only one that can make it
	patch *patchOf    // nil = the layer whole
	own   *base       // the host has it: there is no want
	// unpacked, if set, tells how large the layer becomes when the helper unpacks it for its engine.
	unpacked func(ctx context.Context) (int64, error)
}

// patchOf says what a patch starts from and leads to.
type patchOf struct {
	base  layers.DiffID
	image string // on the host, that has the base
	made  *patch
}

func (r *relay) ahead() int { return max(len(r.wants), 1) }

func (r *relay) layer(ctx context.Context, i int) (parcel, error) {
	l := r.plan.Image.Layers[i]
	e := r.wants[i]
	if e.own != nil {
		n, err := e.unpacked(ctx)
		if err != nil {
			return parcel{}, &stepError{"read", err}
		}
		r.progress.saved(sendSize(l.Blob))
		x := wire.Splice{Own: true, Size: n, Base: string(l.DiffID), BaseImage: e.own.image}
		return plainParcel(l.DiffID, x), nil
	}
	e, size, digest, err := r.first(ctx, i, e)
	if err != nil && r.member.Err() != nil {
		err = r.member.Err() // whatever else failed meanwhile
	}
	if err != nil && ctx.Err() == nil && wholeHelps(err, r.member.Err(), e.patch != nil || e.made) {
		r.progress.say(event.Message, fmt.Sprintf("sending layer %s whole from here: %v", l.DiffID.Short(), err))
		e = r.again(i)
		size, digest, err = e.want.Wait(ctx)
	}
	if err != nil {
		return parcel{}, r.fault(err)
	}
	x := wire.Splice{Blob: e.want.Blob(), Size: size}
	if e.made {
		r.took.Store(true)
		e.blob.Compression = layers.Gzip
		if e.want.Zstd() {
			e.blob.Compression = layers.Zstd
		}
	}
	b := layers.Blob{Digest: layers.Digest(fmt.Sprintf("sha256:%x", digest)), Size: size, Compression: e.blob.Compression}
	switch {
	case e.unpacked != nil:
		x.Unpack = true
		if x.Size, err = e.unpacked(ctx); err != nil {
			return parcel{}, &stepError{"read", err}
		}
		return plainParcel(l.DiffID, x), nil
	case e.patch != nil:
		r.progress.saved(sendSize(l.Blob) - size)
		x.Size, x.Base, x.BaseImage = e.patch.made.to, string(e.patch.base), e.patch.image
		return plainParcel(l.DiffID, x), nil
	}
	return parcel{b, func(context.Context) (io.ReadCloser, error) { return spliced{x}, nil }}, nil
}

// wholeHelps tells whether a layer that failed to come can still be sent whole from here, which takes another way if it
// was a patch or another host's: unless the host's own helper ended (own, nil = it has not) or has no room. That another
// host's helper ended says nothing about this one.
func wholeHelps(err, own error, otherWay bool) bool {
	if own != nil || errors.Is(err, swarm.ErrFull) {
		return false
	}
	return otherWay || errors.Is(err, swarm.ErrMaker) || errors.Is(err, layers.ErrTryAgain)
}

// plainParcel is a layer that the helper puts in unpacked.
func plainParcel(d layers.DiffID, x wire.Splice) parcel {
	b := layers.Blob{Digest: layers.Digest(d), Size: x.Size, Compression: layers.Plain}
	return parcel{b, func(context.Context) (io.ReadCloser, error) { return spliced{x}, nil }}
}

// fault names the step of a want's error: what the link or the helper did is sending, the rest is reading the source.
func (r *relay) fault(err error) error {
	switch {
	case errors.Is(err, swarm.ErrFull):
		return &stepError{"send", fmt.Errorf("%w: %w", ErrDiskFull, err)}
	case errors.Is(err, swarm.ErrGone), errors.Is(err, context.Canceled):
		return &stepError{"send", err}
	}
	return &stepError{"read", err}
}

// spliced stands for a layer that the helper has. There is nothing to read here.
type spliced struct{ wire.Splice }

func (spliced) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }
func (spliced) Close() error             { return nil }

func (r *relay) writer(w io.Writer) io.Writer { return pieces{wire.NewPieceWriter(w)} }

// pieces is an archive that names what the helper has.
type pieces struct{ wire.PieceWriter }

// Splice makes pieces a layers.Splicer.
func (p pieces) Splice(l layers.ArchiveLayer) error {
	r, err := l.Open()
	if err != nil {
		return err
	}
	x, ok := r.(spliced)
	if !ok {
		return errors.Join(fmt.Errorf("layer %s is not at the host", l.DiffID.Short()), r.Close())
	}
	return p.PieceWriter.Splice(x.Splice)
}

func (r *relay) load(ctx context.Context, from io.Reader) (docker.LoadResult, error) {
	return r.member.Load(ctx, from)
}

// blobName is how helpers name a layer's blob in every run. All names of what a layer can be made of begin with its own
// word: once it is there, a helper drops what earlier runs have left of them (chunk.Name).
func blobName(d layers.DiffID, z layers.Compression) string {
	return strings.ToLower(d.Hex()) + "." + string(z)
}

// madeName is how helpers name a blob that one of them makes, in whatever way it can.
func madeName(d layers.DiffID, zstd bool) string {
	if zstd {
		return strings.ToLower(d.Hex()) + ".made"
	}
	return strings.ToLower(d.Hex()) + ".made.gzip"
}

// patchName is how helpers name a patch.
func patchName(base, target layers.DiffID) string {
	return target.Hex() + "." + base.Hex()[:32] + ".patch"
}
