package layers

import (
	"context"
	"fmt"
	"io"
	"io/fs"

	"ship/internal/event"
)

// openDaemon opens an image of an engine, the local one or that of a host, in the best of four ways, and tells which:
//
//   - a containerd store gives single blobs, as they were built or pulled;
//   - the folders of a local graph driver's overlay2, where we may read them, give single layers;
//   - so does the engine, which may always read them: for one who is not root, or not on its machine;
//   - else the engine has to export the image, which it can only do whole: once, into the cache. An image that did not
//     change since is not exported again; one that did is, however small the change.
func openDaemon(ctx context.Context, r Ref, e Engine, o OpenOptions) (Source, error) {
	store, err := e.Store(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: ask the engine: %w", r, err)
	}
	s, err := e.ImageID(ctx, r.Name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	id, err := ParseDigest(s)
	if err != nil {
		return nil, fmt.Errorf("%s: image ID: %w", r, err)
	}
	if store.Containerd {
		return openContent(ctx, r, e, id, o.Emit)
	}
	return openGraph(ctx, r, e, store, id, o)
}

// contentStore is the blobs of a containerd store.
type contentStore struct {
	engine Engine
	has    map[Digest]bool
}

func (c contentStore) cheap() bool                      { return false }
func (c contentStore) stored(Blob) (*storedBlob, error) { return nil, nil }

func (c contentStore) openBlob(ctx context.Context, d Digest) (io.ReadCloser, error) {
	if !c.has[d] {
		return nil, fmt.Errorf("blob %s: the engine does not hold it: %w", d.Short(), fs.ErrNotExist)
	}
	return c.engine.ReadContent(ctx, string(d))
}

func openContent(ctx context.Context, r Ref, e Engine, id Digest, emit event.Func) (Source, error) {
	contents, err := e.Contents(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the engine's blobs: %w", err)
	}
	blobs := contentStore{engine: e, has: make(map[Digest]bool, len(contents))}
	for _, c := range contents {
		blobs.has[Digest(c.Digest)] = true
	}
	variants, err := findVariants(ctx, blobs, []descriptor{{Digest: id}}, maxIndexDepth)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	if len(variants) == 0 {
		return nil, fmt.Errorf("%s: the engine holds no platform of it completely", r)
	}
	tell(emit, "the engine's containerd store gives single layers")
	return &ociSource{blobs: blobs, ref: daemonName(r), variants: variants, unproven: r.Transport == TransportSSH}, nil
}

// daemonName is what people call the image; "" if they gave an ID.
func daemonName(r Ref) string {
	short, err := FamiliarRef(r.Name)
	if err != nil {
		return ""
	}
	return short
}

func tell(emit event.Func, text string) {
	emit.Emit(event.Event{Type: event.Message, Phase: "read", Text: text})
}
