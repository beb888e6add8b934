package layers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Content is a blob in a containerd content store, as its list shows it.
type Content struct {
	Digest string
	Size   int64 // bytes
	Labels map[string]string
}

// ReadFunc reads a blob of a content store from its start. The caller may close it early. It is called from several
// goroutines.
type ReadFunc func(ctx context.Context, digest string) (io.ReadCloser, error)

// The labels that containerd gives to blobs.
const (
	labelUncompressed = "containerd.io/uncompressed"          // on a layer that was once unpacked: its diff ID
	labelConfig       = "containerd.io/gc.ref.content.config" // on a manifest: its config
	labelLayer        = "containerd.io/gc.ref.content.l."     // on a manifest, with the index: a layer
)

// maxConfigs bounds how many configs BlobsOf reads for layers that carry no label, one round trip each.
const maxConfigs = 32

// maxReads of blobs at once.
const maxReads = 8

// BlobsOf finds, for each of the layers want, a blob of a containerd store that unpacks to it. Layers that were
// unpacked carry a label; for others (pulled, never run) the configs that name them are read. A store that lies is
// found out by the engine, which checks diff IDs as it unpacks.
func BlobsOf(ctx context.Context, contents []Content, read ReadFunc, want []DiffID) (map[DiffID]Blob, error) {
	f := blobFinder{read: read, byDigest: make(map[Digest]Content, len(contents)), found: make(map[DiffID][]Content)}
	for _, c := range contents {
		if d, err := ParseDigest(c.Digest); err == nil && c.Size >= 0 {
			f.byDigest[d] = c
		}
	}
	f.labelled(want)
	if err := f.unlabelled(ctx, contents, want); err != nil {
		return nil, err
	}
	return f.blobs(ctx)
}

type blobFinder struct {
	read     ReadFunc
	byDigest map[Digest]Content
	found    map[DiffID][]Content
}

func (f *blobFinder) labelled(want []DiffID) {
	wanted := make(map[DiffID]bool, len(want))
	for _, d := range want {
		wanted[d] = true
		if c, ok := f.byDigest[Digest(d)]; ok { // a plain blob is its own diff ID
			f.found[d] = append(f.found[d], c)
			wanted[d] = false
		}
	}
	for _, c := range f.byDigest {
		if d := DiffID(c.Labels[labelUncompressed]); wanted[d] {
			f.found[d] = append(f.found[d], c)
		}
	}
}

// unlabelled follows manifests that name blobs without a diff ID label to their configs.
func (f *blobFinder) unlabelled(ctx context.Context, contents []Content, want []DiffID) error {
	missing := make(map[DiffID]bool)
	for _, d := range want {
		if len(f.found[d]) == 0 {
			missing[d] = true
		}
	}
	configs := 0
	for _, m := range contents {
		config, err := ParseDigest(m.Labels[labelConfig])
		blobs := layerLabels(m.Labels)
		if err != nil || len(missing) == 0 || configs == maxConfigs || !f.anyUnlabelled(blobs) {
			continue
		}
		c, ok := f.byDigest[config]
		if !ok || c.Size > maxMetadata {
			continue
		}
		configs++
		ids, err := f.diffIDs(ctx, config)
		if err != nil {
			return err
		}
		for i, d := range ids {
			if b, ok := f.byDigest[blobs[i]]; ok && missing[d] {
				f.found[d] = append(f.found[d], b)
				delete(missing, d)
			}
		}
	}
	return nil
}

// layerLabels are the layers of a manifest by index.
func layerLabels(labels map[string]string) map[int]Digest {
	out := make(map[int]Digest)
	for k, v := range labels {
		n, ok := strings.CutPrefix(k, labelLayer)
		if !ok {
			continue
		}
		i, err := strconv.Atoi(n)
		if err != nil {
			continue
		}
		if d, err := ParseDigest(v); err == nil {
			out[i] = d
		}
	}
	return out
}

func (f *blobFinder) anyUnlabelled(blobs map[int]Digest) bool {
	for _, d := range blobs {
		if c, ok := f.byDigest[d]; ok && c.Labels[labelUncompressed] == "" {
			return true
		}
	}
	return false
}

// diffIDs of a config; none if it is not an image's.
func (f *blobFinder) diffIDs(ctx context.Context, config Digest) ([]DiffID, error) {
	r, err := f.read(ctx, string(config))
	if err != nil {
		return nil, fmt.Errorf("read config %s: %w", config.Short(), err)
	}
	raw, err := readMetadata(r, "config "+config.Short(), config)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	var c imageConfig
	if json.Unmarshal(raw, &c) != nil || len(c.RootFS.DiffIDs) > maxLayers {
		return nil, nil
	}
	return c.RootFS.DiffIDs, nil
}

// blobs picks one for each diff ID. Over a long line each look inside takes a round trip, so several go at once.
func (f *blobFinder) blobs(ctx context.Context) (map[DiffID]Blob, error) {
	out := make(map[DiffID]Blob, len(f.found))
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxReads)
	for d, candidates := range f.found {
		g.Go(func() error {
			b, err := f.blob(ctx, d, candidates)
			mu.Lock()
			defer mu.Unlock()
			if b.Digest != "" {
				out[d] = b
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// blob picks the smallest of the blobs found for d whose compression an engine reads; a zero Blob if there is none.
func (f *blobFinder) blob(ctx context.Context, d DiffID, candidates []Content) (Blob, error) {
	slices.SortFunc(candidates, func(a, b Content) int {
		if a.Size != b.Size {
			return int(min(max(a.Size-b.Size, -1), 1))
		}
		return strings.Compare(a.Digest, b.Digest)
	})
	for _, c := range candidates {
		if c.Digest == string(d) {
			return Blob{Digest: Digest(c.Digest), Size: c.Size}, nil
		}
		head, err := readHead(ctx, f.read, c.Digest)
		if err != nil {
			return Blob{}, fmt.Errorf("read blob %s: %w", Digest(c.Digest).Short(), err)
		}
		if z, err := sniff(head); err == nil && z != Plain {
			return Blob{Digest: Digest(c.Digest), Size: c.Size, Compression: z}, nil
		}
	}
	return Blob{}, nil
}

// readHead reads the first bytes of a blob, for sniff.
func readHead(ctx context.Context, read ReadFunc, digest string) ([]byte, error) {
	r, err := read(ctx, digest)
	if err != nil {
		return nil, err
	}
	head := make([]byte, magicLen)
	n, err := io.ReadFull(r, head)
	_ = r.Close() // left early on purpose
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	return head[:n], nil
}
