// Package images makes container images for tests without a container engine: small ones from seeds, and real ones
// from Debian packages.
//
// The same arguments give the same digests: for images from seeds anywhere, for real ones as long as their cache lives.
package images

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Image is an image whose layers lie on disk, gzipped. It can be used as long as their folder is there.
type Image struct {
	Ref      string // its name and tag, "shop:v1"
	ID       string // the digest of its configuration, which a graph driver takes for the image's ID
	DiffIDs  []string
	Bytes    int64 // of all layers, compressed
	Unpacked int64 // of all layers, as tars

	image v1.Image
}

// epoch is when every image was made.
func epoch() v1.Time { return v1.Time{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

// step is a layer and the words of its history.
type step struct {
	layer *blob
	by    string
}

// assemble puts layers, bottom first, and a configuration together.
func assemble(ref, arch string, steps []step, c v1.Config) (*Image, error) {
	img := &Image{Ref: ref, image: mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)}
	var adds []mutate.Addendum
	for _, s := range steps {
		adds = append(adds, mutate.Addendum{Layer: s.layer, History: v1.History{Created: epoch(), CreatedBy: s.by}, MediaType: types.OCILayer})
		img.DiffIDs = append(img.DiffIDs, s.layer.record.Uncompressed.String())
		img.Bytes += s.layer.record.Bytes
		img.Unpacked += s.layer.record.Unpacked
	}
	var err error
	if img.image, err = mutate.Append(img.image, adds...); err != nil {
		return nil, fmt.Errorf("assemble %s: %w", ref, err)
	}
	old, err := img.image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("assemble %s: %w", ref, err)
	}
	file := old.DeepCopy()
	file.OS, file.Architecture, file.Created, file.Config = "linux", arch, epoch(), c
	if img.image, err = mutate.ConfigFile(img.image, file); err != nil {
		return nil, fmt.Errorf("assemble %s: %w", ref, err)
	}
	id, err := img.image.ConfigName()
	if err != nil {
		return nil, fmt.Errorf("assemble %s: %w", ref, err)
	}
	img.ID = id.String()
	return img, nil
}

// DockerArchive writes the image as `docker save` of old wrote it: manifest.json, a configuration, layers.
func (i *Image) DockerArchive(path string) error {
	tag, err := name.NewTag(i.Ref)
	if err != nil {
		return err
	}
	return tarball.WriteToFile(path, tag, i.image)
}

// OCILayout writes the image as an OCI layout in the folder, which may be one already: then the image is added.
func (i *Image) OCILayout(dir string) error {
	p, err := layout.FromPath(dir)
	if err != nil {
		if p, err = layout.Write(dir, empty.Index); err != nil {
			return err
		}
	}
	return p.AppendImage(i.image, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": i.Ref}))
}

// OCIArchive writes the image as an OCI layout in a tar.
func (i *Image) OCIArchive(path string) error {
	dir, err := os.MkdirTemp(filepath.Dir(path), "layout-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := i.OCILayout(dir); err != nil {
		return err
	}
	return tarFolder(path, dir)
}
