// Package engine shows a Docker engine to package layers, in that package's own words.
package engine

import (
	"context"
	"io"

	"ship/internal/docker"
	"ship/layers"
)

// Source is c as a place to read images from.
func Source(c *docker.Client) layers.Engine { return source{c} }

type source struct{ client *docker.Client }

func (e source) Store(ctx context.Context) (layers.EngineStore, error) {
	info, err := e.client.Info(ctx)
	return layers.EngineStore{Containerd: info.ContainerdStore, Driver: info.Driver, RootDir: info.RootDir}, err
}

func (e source) ImageID(ctx context.Context, ref string) (string, error) {
	img, err := e.client.InspectImage(ctx, ref)
	return img.ID, err
}

func (e source) Contents(ctx context.Context) ([]layers.Content, error) {
	list, err := e.client.ListContent(ctx)
	out := make([]layers.Content, len(list))
	for i, c := range list {
		out[i] = layers.Content(c)
	}
	return out, err
}

func (e source) ReadContent(ctx context.Context, digest string) (io.ReadCloser, error) {
	return e.client.ReadContent(ctx, digest, 0)
}

func (e source) SaveImage(ctx context.Context, ref string) (io.ReadCloser, error) {
	return e.client.SaveImage(ctx, ref)
}

func (e source) Folder(ctx context.Context, image, dir string) (layers.EngineFolder, error) {
	return e.client.OpenFolder(ctx, image, dir)
}

func (e source) StepSizes(ctx context.Context, ref string) ([]int64, error) {
	return e.client.StepSizes(ctx, ref)
}
