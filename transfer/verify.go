package transfer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"ship/internal/docker"
	"ship/layers"
)

// brokenError: an engine says that it has the image, and has not.
type brokenError struct{ why string }

func (e *brokenError) Error() string { return "the engine loaded a broken image: " + e.why }

// verify checks that ref on the host is img, whole and ready to run, and returns its ID there.
func verify(ctx context.Context, e Engine, info docker.Info, img *layers.Image, ref string) (id string, err error) {
	got, err := e.InspectImage(ctx, ref)
	switch {
	case errors.Is(err, docker.ErrNotFound):
		return "", fmt.Errorf("%w: %w", errGone, err)
	case err != nil:
		return "", err
	case info.ContainerdStore:
		err = checkContainerd(ctx, e, info, img, ref, got)
	case got.ID != string(img.ConfigDigest()):
		err = &brokenError{fmt.Sprintf("its ID is %s, want %s", layers.Digest(got.ID).Short(), img.ConfigDigest().Short())}
	}
	return got.ID, err
}

// checkContainerd checks an image in a containerd store, where an ID proves nothing: it is there before the layers are.
func checkContainerd(ctx context.Context, e Engine, info docker.Info, img *layers.Image, ref string, got docker.ImageInfo) error {
	want := img.DiffIDs()
	if len(got.DiffIDs) != len(want) {
		return &brokenError{fmt.Sprintf("it has %d layers, want %d", len(got.DiffIDs), len(want))}
	}
	for i, d := range want {
		if got.DiffIDs[i] != string(d) {
			return &brokenError{fmt.Sprintf("layer %d is %s, want %s", i+1, layers.DiffID(got.DiffIDs[i]).Short(), d.Short())}
		}
	}
	switch {
	case !got.Available:
		return &brokenError{"not all of its layers are in the store"}
	case !got.Unpacked:
		return &brokenError{"its layers are not unpacked"}
	case !tellsUnpacked(info.APIVersion):
		return checkByContainer(ctx, e, ref)
	}
	return nil
}

// tellsUnpacked: the engine says of an image whether it is unpacked (API 1.48, Docker 28).
func tellsUnpacked(api string) bool {
	major, minor, _ := strings.Cut(api, ".")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	return errA == nil && errB == nil && (a > 1 || a == 1 && b >= 48)
}

// checkByContainer makes a container that is never started: that needs every layer unpacked.
func checkByContainer(ctx context.Context, e Engine, ref string) error {
	spec := docker.ContainerSpec{Image: ref, Cmd: []string{"never-started"}, Network: "none", Labels: map[string]string{"ship.check": "image"}}
	id, err := e.CreateContainer(ctx, spec)
	if err != nil {
		if isAnswer(err) {
			return &brokenError{err.Error()}
		}
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout) // or it would stay for good
	defer cancel()
	return e.RemoveContainer(ctx, id, true)
}

// tagImage gives the image ref the name tag.
func tagImage(ctx context.Context, e Engine, ref, tag string) error {
	name, err := layers.FamiliarRef(tag)
	if err != nil {
		return err
	}
	i := strings.LastIndexByte(name, ':')
	return e.TagImage(ctx, ref, name[:i], name[i+1:])
}
