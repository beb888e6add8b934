package layers

// Held is what a host has of one image, as far as `docker load` can use it.
type Held struct {
	// ContainerdStore tells which of the two below counts: the host keeps images in containerd, or in a graph driver.
	ContainerdStore bool
	// Blobs of a containerd store, by diff ID: there a layer is held if some blob of the store unpacks to it, and must
	// be named by that very blob.
	Blobs map[DiffID]Blob
	// Prefix of a graph driver: so many layers from the bottom are held. Layers above the first missing one do not
	// count, because a graph driver keeps them by chain ID.
	Prefix int
}

// Missing are the layers of img that have to be sent, by index, bottom first.
func (h Held) Missing(img *Image) []int {
	var out []int
	for i := range img.Layers {
		if !h.has(img, i) {
			out = append(out, i)
		}
	}
	return out
}

// Name is how an archive for this host names layer i of img, which the host holds.
func (h Held) Name(img *Image, i int) ArchiveLayer {
	d := img.Layers[i].DiffID
	if h.ContainerdStore {
		return ArchiveLayer{DiffID: d, Blob: h.Blobs[d]}
	}
	return ArchiveLayer{DiffID: d, Blob: Blob{Digest: Digest(d)}}
}

func (h Held) has(img *Image, i int) bool {
	if h.ContainerdStore {
		_, ok := h.Blobs[img.Layers[i].DiffID]
		return ok
	}
	return i < h.Prefix
}
