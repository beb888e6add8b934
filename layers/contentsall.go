package layers

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
)

// maxAllConfigs bounds how many configs AllBlobs reads for layers that carry no label.
const maxAllConfigs = 4096

// AllBlobs finds every layer of a containerd store, as BlobsOf finds those that are wanted.
func AllBlobs(ctx context.Context, contents []Content, read ReadFunc) (map[DiffID]Blob, error) {
	f := blobFinder{read: read, byDigest: make(map[Digest]Content, len(contents)), found: make(map[DiffID][]Content)}
	for _, c := range contents {
		if d, err := ParseDigest(c.Digest); err == nil && c.Size >= 0 {
			f.byDigest[d] = c
		}
	}
	for _, c := range f.byDigest {
		if d, err := ParseDiffID(c.Labels[labelUncompressed]); err == nil {
			f.found[d] = append(f.found[d], c)
		}
	}
	if err := f.allUnlabelled(ctx, contents); err != nil {
		return nil, err
	}
	return f.blobs(ctx)
}

// allUnlabelled follows all manifests that name blobs without a diff ID label to their configs.
func (f *blobFinder) allUnlabelled(ctx context.Context, contents []Content) error {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxReads)
	configs := 0
	for _, m := range contents {
		config, err := ParseDigest(m.Labels[labelConfig])
		blobs := layerLabels(m.Labels)
		c, ok := f.byDigest[config]
		if err != nil || !ok || c.Size > maxMetadata || configs == maxAllConfigs || !f.anyUnlabelled(blobs) {
			continue
		}
		configs++
		g.Go(func() error {
			ids, err := f.diffIDs(ctx, config)
			mu.Lock()
			defer mu.Unlock()
			for i, d := range ids {
				b, ok := f.byDigest[blobs[i]]
				if _, bad := ParseDiffID(string(d)); ok && bad == nil && b.Labels[labelUncompressed] == "" {
					f.found[d] = append(f.found[d], b)
				}
			}
			return err
		})
	}
	return g.Wait()
}
