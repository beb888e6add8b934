package transfer

import "ship/layers"

// A layer's size before it is read is a guess in one direction: compressed, or unpacked.
const (
	unpackFactor = 3 // how much larger a compressed layer becomes, typically
	packFactor   = 2 // how much smaller a plain one
)

// sendSize estimates a layer's size on the wire, in bytes; 0 = no idea.
func sendSize(b layers.Blob) int64 {
	if b.Compression == layers.Plain {
		return b.Roughly() / packFactor
	}
	return b.Roughly()
}

// plainSize estimates a layer's size unpacked, in bytes; 0 = no idea.
func plainSize(b layers.Blob) int64 {
	if b.Compression == layers.Plain {
		return b.Roughly()
	}
	return b.Roughly() * unpackFactor
}

// helperRoom is what the helper takes on a host, in bytes: itself and its folders.
const helperRoom = 12 << 20

// diskNeed estimates the most space that the loads take at one time. A containerd store keeps the blobs beside what
// they unpack to; a graph driver keeps an archive only until its load is done, and there are two at a time. The helper has
// the chunks of what is sent until it is loaded: mostly on the same disk, which is taken for granted here.
func diskNeed(h HostPlan) int64 {
	var plain, sent, peak, before int64
	for _, l := range h.Loads {
		var load int64
		for _, i := range l.Layers {
			plain += plainSize(h.Image.Layers[i].Blob)
			load += sendSize(h.Image.Layers[i].Blob)
		}
		peak = max(peak, before+load)
		sent, before = sent+load, load
	}
	if plain+sent == 0 {
		return 0
	}
	if h.Holding.Held.ContainerdStore {
		return plain + 2*sent + helperRoom
	}
	return plain + peak + sent + helperRoom
}
