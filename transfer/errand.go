package transfer

import (
	"context"
	"slices"

	"ship/layers"
	"ship/transfer/swarm"
	"ship/transfer/wire"
)

// wholeLayer asks for layer i of the plan's image as it is, made here or by a host that has it.
func (a *attempt) wholeLayer(m *swarm.Member, plan HostPlan, i int, maker *swarm.Member) *errand {
	l := plan.Image.Layers[i]
	a.tell.layer(l.DiffID, "send", "sending", sendSize(l.Blob))
	if maker != nil {
		// How it stores the layer, it says when it begins: one that it has with gzip, it sends so.
		p := wire.Produce{DiffID: string(l.DiffID), Zstd: plan.Accept.Zstd}
		return &errand{want: m.Ask(madeName(l.DiffID, p.Zstd), nil, maker, p, a.tell.arrived), made: true, maker: maker.Name, only: a.readFrom(maker.Name)}
	}
	accept := layers.Accept{Zstd: true} // a helper unpacks what its engine cannot, so that one blob does for all
	z := accept.Encoding(l.Blob.Compression)
	open := func(ctx context.Context) (swarm.Source, error) { return a.Spool.Grow(ctx, plan.Image, i, accept) }
	w := m.Ask(blobName(l.DiffID, z), open, nil, wire.Produce{}, a.tell.arrived)
	e := &errand{want: w, blob: layers.Blob{Compression: z}}
	if z == layers.Zstd && !plan.Accept.Zstd {
		e.unpacked = func(ctx context.Context) (int64, error) { return a.Spool.PlainSize(ctx, plan.Image, i) }
	}
	return e
}

// readFrom tells whether the image itself is read from a host: it does not come sooner from here than from there.
func (a *attempt) readFrom(name string) bool {
	return slices.ContainsFunc(a.Sources, func(h Host) bool { return h.Name == name })
}

// ownLayer takes layer i from where the host has it, in another place of another image: nothing is sent.
func (a *attempt) ownLayer(plan HostPlan, i int, b base) *errand {
	return &errand{own: &b, unpacked: func(ctx context.Context) (int64, error) { return a.Spool.PlainSize(ctx, plan.Image, i) }}
}
