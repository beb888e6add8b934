package transfer

import (
	"context"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"ship/layers"
	"ship/transfer/swarm"
	"ship/transfer/wire"
)

// wholeLayer asks for layer i of the plan's image as it is, made here or by a host that has it.
func (a *attempt) wholeLayer(m *swarm.Member, plan HostPlan, i int, maker *swarm.Member) *errand {
	l := plan.Image.Layers[i]
	accept := plan.Accept
	if maker == nil {
		accept.Zstd = true // a helper unpacks what its engine cannot, so that one blob does for all
	}
	z := accept.Encoding(l.Blob.Compression)
	open := func(ctx context.Context) (swarm.Source, error) { return a.Spool.Grow(ctx, plan.Image, i, accept) }
	p := wire.Produce{DiffID: string(l.DiffID), Zstd: accept.Zstd}
	a.tell.layer(l.DiffID, "send", "sending", sendSize(l.Blob))
	w := m.Ask(blobName(l.DiffID, z), open, maker, p, a.tell.arrived)
	e := &errand{want: w, blob: layers.Blob{Compression: z}}
	if z == layers.Zstd && !plan.Accept.Zstd {
		e.unpacked = func(ctx context.Context) (int64, error) { return a.unpackedSize(ctx, plan.Image, i) }
	}
	return e
}

// ownLayer takes layer i from where the host has it, in another place of another image: nothing is sent.
func (a *attempt) ownLayer(plan HostPlan, i int, b base) *errand {
	return &errand{own: &b, unpacked: func(ctx context.Context) (int64, error) { return a.unpackedSize(ctx, plan.Image, i) }}
}

// unpackedSize is how many bytes a layer has unpacked. It is counted once, and only where the host is to
// unpack it, or has it so.
func (p *push) unpackedSize(ctx context.Context, img *layers.Image, i int) (int64, error) {
	if b := img.Layers[i].Blob; b.Compression == layers.Plain && b.Size >= 0 {
		return b.Size, nil
	}
	d := img.Layers[i].DiffID
	p.sizes.Lock()
	defer p.sizes.Unlock()
	if n, ok := p.sizes.of[d]; ok {
		return n, nil
	}
	b, err := p.Spool.Blob(ctx, img, i, layers.Accept{Zstd: true})
	if err != nil {
		return 0, err
	}
	r, err := b.Open(ctx)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	z, err := zstd.NewReader(r)
	if err != nil {
		return 0, err
	}
	defer z.Close()
	n, err := io.Copy(io.Discard, z)
	if err != nil {
		return 0, fmt.Errorf("read layer %s: %w", d.Short(), err)
	}
	if p.sizes.of == nil {
		p.sizes.of = make(map[layers.DiffID]int64)
	}
	p.sizes.of[d] = n
	return n, nil
}
