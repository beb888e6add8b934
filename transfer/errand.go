package transfer

import (
	"context"

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
		e.unpacked = func(ctx context.Context) (int64, error) { return a.Spool.PlainSize(ctx, plan.Image, i) }
	}
	return e
}

// ownLayer takes layer i from where the host has it, in another place of another image: nothing is sent.
func (a *attempt) ownLayer(plan HostPlan, i int, b base) *errand {
	return &errand{own: &b, unpacked: func(ctx context.Context) (int64, error) { return a.Spool.PlainSize(ctx, plan.Image, i) }}
}
