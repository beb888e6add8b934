// Package layers knows container images: where they are read from (Source), what they are made of (Image, Layer),
// what a host has of one (Held), how its layers are made ready to be sent (Spool, Growing), and how an image is written
// for `docker load` (Archive). A PlainLayer is a layer as deltas see it.
//
// Words, as in the OCI image specification: a layer's diff ID is the digest of its uncompressed tar; its blob is the
// layer as stored, perhaps compressed, named by its own digest; the config lists the diff IDs; the manifest lists the
// blobs; chain IDs name stacks of layers.
package layers

import (
	"context"
	"io"
)

// Compression of a blob.
type Compression string

const (
	Plain Compression = ""
	Gzip  Compression = "gzip"
	Zstd  Compression = "zstd"
)

// Platform as in an image's config. Variant may be empty.
type Platform struct {
	OS, Arch, Variant string
}

func (p Platform) String() string {
	s := p.OS + "/" + p.Arch
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// Blob is a layer as it is stored somewhere: in a source, in a spool file, in a host's content store.
// Digest is "" and Size is -1 where a source cannot tell before it has read the layer.
type Blob struct {
	Digest      Digest
	Size        int64 // bytes
	Estimate    int64 // bytes, where Size is -1; 0 = no idea
	Compression Compression
	MediaType   string // OCI or Docker media type; "" = derive from Compression
}

// Roughly is the blob's size in bytes for plans and progress, estimated if it is not known; 0 = no idea.
func (b Blob) Roughly() int64 {
	if b.Size >= 0 {
		return b.Size
	}
	return b.Estimate
}

// Layer of an image, bottom first. Blob is how the source stores it.
type Layer struct {
	DiffID DiffID
	Blob   Blob
}

// Image is one image for one platform. Config holds the raw bytes whose digest is the image's identity on every host.
type Image struct {
	Ref      string // what people call it, e.g. "shop:v1"; "" if the source names none
	Config   []byte
	Platform Platform
	Layers   []Layer

	open  func(ctx context.Context, i int) (io.ReadCloser, error)
	local bool // open is as good as reading a file: no need to keep a copy for the next reader
	// openAt, if set, gives random access to what open reads; nil if layer i allows none. Only asked if local.
	openAt func(ctx context.Context, i int) (*storedBlob, error)
	// unproven: nobody we trust has unpacked the blobs, so they are before a copy is kept for other images.
	unproven bool
	// again, if set, hears of an error in reading a layer, and tells whether open has another way now.
	again func(error) bool
}

// ConfigDigest is the digest of the raw config: the image ID on a graph driver, and comparable across hosts.
func (m *Image) ConfigDigest() Digest { return DigestOf(m.Config) }

// DiffIDs of all layers, bottom first.
func (m *Image) DiffIDs() []DiffID {
	ids := make([]DiffID, len(m.Layers))
	for i, l := range m.Layers {
		ids[i] = l.DiffID
	}
	return ids
}

// Open reads layer i as the source stores it (see Layer.Blob.Compression). The stream is verified while it is read,
// against the blob's digest where the source knows one, else (plain blobs) against the diff ID: a mismatch is an error
// before io.EOF. It may be called again for a retry. The caller closes it.
func (m *Image) Open(ctx context.Context, i int) (io.ReadCloser, error) { return m.open(ctx, i) }

// Source is an opened place that holds one image, perhaps for several platforms.
type Source interface {
	// Platforms the source holds; at least one.
	Platforms() []Platform
	// Image for a platform. A zero Platform means the only one, or linux on the controller's own architecture.
	// The error of a platform that is not there names those that are.
	Image(ctx context.Context, p Platform) (*Image, error)
	// Close frees what the source holds; images of it cannot be opened afterwards.
	Close() error
}
