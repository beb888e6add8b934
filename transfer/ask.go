package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ship/internal/docker"
	"ship/layers"
)

// Ask finds out what host h holds of img, in two rounds of questions that are asked at once. It leaves nothing behind.
func Ask(ctx context.Context, h Host, img *layers.Image) (Holding, error) {
	q := question{host: h, run: newRun(), silence: defaultSilence}
	q.image = func(context.Context, docker.Info) (*layers.Image, error) { return img, nil }
	_, held, err := q.ask(ctx)
	if held.probed != "" {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout) // a question leaves nothing behind
		defer cancel()
		err = errors.Join(err, removeTags(ctx, h.Engine, held.probed))
	}
	return held, onHost(h.Name, "ask", err)
}

// question is what one host is asked.
type question struct {
	host    Host
	image   func(context.Context, docker.Info) (*layers.Image, error) // the one for this engine
	tag     string                                                    // what the image shall be called; "" = not asked about
	run     run                                                       // for the temporary tag of a probe
	silence time.Duration                                             // that one round of questions may take
}

// first is what the first round brings.
type first struct {
	info     docker.Info
	tagged   docker.ImageInfo // zero = the tag names nothing
	contents []layers.Content
	parts    []string
}

func (q question) ask(ctx context.Context) (*layers.Image, Holding, error) {
	f, err := q.first(ctx)
	if err != nil {
		return nil, Holding{}, err
	}
	img, err := q.image(ctx, f.info)
	if err != nil {
		return nil, Holding{}, err
	}
	ctx, cancel := patience(ctx, q.silence)
	defer cancel()
	h := Holding{Info: f.info, parts: f.parts}
	h.Held.ContainerdStore = f.info.ContainerdStore
	done, err := q.isDone(ctx, img, f)
	if err != nil {
		return nil, Holding{}, err
	}
	if done {
		h.Complete, h.tagged, h.Free = true, f.tagged.ID, -1
		return img, h, nil
	}
	var free sync.WaitGroup
	free.Go(func() { h.Free = q.free(ctx, f.info.RootDir) })
	defer free.Wait()
	if h.Held.ContainerdStore {
		h.Held.Blobs, err = layers.BlobsOf(ctx, f.contents, q.readBlob, img.DiffIDs())
	} else {
		h.Held.Prefix, h.probed, err = q.probeGraph(ctx, img)
	}
	free.Wait()
	h.Complete = err == nil && len(h.Held.Missing(img)) == 0
	return img, h, err
}

func (q question) first(ctx context.Context) (first, error) {
	ctx, cancel := patience(ctx, q.silence)
	defer cancel()
	var f first
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		f.info, err = q.host.Engine.Info(ctx)
		return err
	})
	if q.tag != "" {
		g.Go(func() (err error) {
			f.tagged, err = q.host.Engine.InspectImage(ctx, q.tag)
			if errors.Is(err, docker.ErrNotFound) {
				return nil
			}
			return err
		})
	}
	g.Go(func() error {
		list, err := q.host.Engine.ListContent(ctx)
		if errors.Is(err, docker.ErrUnsupported) {
			return nil // a graph driver; a containerd store without the service gets every layer
		}
		for _, c := range list {
			f.contents = append(f.contents, layers.Content(c))
		}
		return err
	})
	g.Go(func() error {
		list, err := q.host.Engine.ListImagesNamed(ctx, partRepo)
		for _, m := range list {
			f.parts = append(f.parts, m.RepoTags...)
		}
		return err
	})
	err := g.Wait()
	return f, err
}

// isDone tells whether the tag names img already, so that nothing is left to do.
func (q question) isDone(ctx context.Context, img *layers.Image, f first) (bool, error) {
	if f.tagged.ID == "" {
		return false, nil
	}
	if !f.info.ContainerdStore {
		return f.tagged.ID == string(img.ConfigDigest()), nil
	}
	for _, c := range f.contents {
		if c.Digest == f.tagged.ID && c.Labels[labelConfig] == string(img.ConfigDigest()) {
			err := checkContainerd(ctx, q.host.Engine, f.info, img, q.tag, f.tagged)
			var bad *brokenError
			if errors.As(err, &bad) {
				return false, nil // a load will mend it
			}
			return err == nil, err
		}
	}
	return false, nil
}

// labelConfig is on a manifest in a containerd store: the digest of its config.
const labelConfig = "containerd.io/gc.ref.content.config"

// probeGraph loads the image without its layers, under a temporary tag. The engine names the first layer that is
// missing, or the image is complete and now there. An engine that refuses in other words gets every layer.
func (q question) probeGraph(ctx context.Context, img *layers.Image) (prefix int, tag string, err error) {
	tag = q.run.tag(img.ConfigDigest(), len(img.Layers))
	probe := layers.Probe(img.Config, img.DiffIDs(), tag)
	loading, stop := withGrace(ctx, closed())
	defer stop()
	_, err = q.host.Engine.LoadImage(loading, bytes.NewReader(probe))
	var refused *docker.LoadError
	switch {
	case err == nil:
		return len(img.Layers), tag, nil
	case !errors.As(err, &refused):
		return 0, "", fmt.Errorf("probe for held layers: %w", err)
	}
	if n, ok := layers.ProbeMissing(refused.Message); ok && n < len(img.Layers) {
		return n, "", nil
	}
	return 0, "", nil
}

func (q question) readBlob(ctx context.Context, digest string) (io.ReadCloser, error) {
	return q.host.Engine.ReadContent(ctx, digest, 0)
}

// free returns -1 where it cannot be told: a push that might fit must not fail for that.
func (q question) free(ctx context.Context, dir string) int64 {
	if q.host.Free == nil {
		return -1
	}
	n, err := q.host.Free(ctx, dir)
	if err != nil {
		return -1
	}
	return n
}

// patience bounds a few short questions by the time an engine may be silent.
func patience(ctx context.Context, silence time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, silence, &StalledError{What: "did not answer", For: silence})
}
