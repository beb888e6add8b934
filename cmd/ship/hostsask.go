package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ship/internal/docker"
	"ship/layers"
	"ship/orchestrate"
	"ship/transfer"
	"ship/transfer/bundle"
)

const (
	// askPatience is how long an engine may take for one answer.
	askPatience = time.Minute

	// inspectedAtOnce bounds how many images an engine is asked about at a time.
	inspectedAtOnce = 8
)

// errNoContents: an engine with a containerd store that has no way to list it.
var errNoContents = errors.New("the engine does not list its content store")

// asking is an engine that is asked what it holds.
type asking struct{ engine orchestrate.Engine }

// patient runs one question, and does not wait for its answer for ever.
func patient[T any](ctx context.Context, question func(context.Context) (T, error)) (T, error) {
	late := &transfer.StalledError{What: "did not answer", For: askPatience}
	ctx, cancel := context.WithTimeoutCause(ctx, askPatience, late)
	defer cancel()
	answer, err := question(ctx)
	if err != nil && context.Cause(ctx) == error(late) {
		err = late
	}
	return answer, err
}

func (a asking) info(ctx context.Context) (docker.Info, error) { return patient(ctx, a.engine.Info) }

// stacks are the diff IDs of every image of a graph driver.
func (a asking) stacks(ctx context.Context) ([][]layers.DiffID, error) {
	list, err := patient(ctx, a.engine.ListImages)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var out [][]layers.DiffID
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inspectedAtOnce)
	for _, m := range list {
		g.Go(func() error {
			img, err := patient(ctx, func(ctx context.Context) (docker.ImageInfo, error) { return a.engine.InspectImage(ctx, m.ID) })
			if errors.Is(err, docker.ErrNotFound) {
				return nil // removed meanwhile
			}
			stack := make([]layers.DiffID, len(img.DiffIDs))
			for i, d := range img.DiffIDs {
				stack[i] = layers.DiffID(d)
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, stack)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return bundle.CompactImages(out), nil
}

// maxLists: how often a content store is listed anew because something was removed from it meanwhile.
const maxLists = 3

// blobs are the layers of a containerd store.
func (a asking) blobs(ctx context.Context) (map[layers.DiffID]layers.Blob, error) {
	for try := 1; ; try++ {
		list, err := patient(ctx, a.engine.ListContent)
		if errors.Is(err, docker.ErrUnsupported) {
			return nil, fmt.Errorf("%w: %w", errNoContents, err)
		}
		if err != nil {
			return nil, err
		}
		contents := make([]layers.Content, len(list))
		for i, c := range list {
			contents[i] = layers.Content(c)
		}
		// What is read here outlives the question that opens it; a host that dies meanwhile is the link's to notice.
		blobs, err := layers.AllBlobs(ctx, contents, func(ctx context.Context, digest string) (io.ReadCloser, error) {
			return a.engine.ReadContent(ctx, digest, 0)
		})
		if err == nil || !errors.Is(err, docker.ErrNotFound) || try == maxLists {
			return blobs, err
		}
	}
}
