package layers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

const (
	maxIndexDepth = 4
	maxManifests  = 1024 // in one image, for all platforms
)

// blobStore is where the blobs of an OCI image lie. A blob that is not there is fs.ErrNotExist.
type blobStore interface {
	openBlob(ctx context.Context, d Digest) (io.ReadCloser, error)
	// cheap: reading a blob again costs no more than reading a file.
	cheap() bool
}

// layout is an OCI image layout: a blobStore with an index.
type layout interface {
	blobStore
	index() ([]byte, error)
}

type layoutDir string

func (l layoutDir) cheap() bool { return true }

func (l layoutDir) index() ([]byte, error) {
	f, err := openRegular(filepath.Join(string(l), "index.json"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	return readMetadata(f, "index.json", "")
}

func (l layoutDir) openBlob(_ context.Context, d Digest) (io.ReadCloser, error) {
	return openRegular(filepath.Join(string(l), "blobs", "sha256", d.Hex()))
}

// openRegular refuses what could block or never end.
func openRegular(name string) (*os.File, error) {
	if info, err := os.Stat(name); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	return os.Open(name)
}

type layoutTar struct{ *tarFile }

func (l layoutTar) cheap() bool            { return true }
func (l layoutTar) index() ([]byte, error) { return l.metadata("index.json", "") }
func (l layoutTar) openBlob(_ context.Context, d Digest) (io.ReadCloser, error) {
	r, _, err := l.open(blobPath(d))
	return r, err
}

// ociSource is one image of a blobStore, for one or more platforms.
type ociSource struct {
	blobs    blobStore
	ref      string
	variants []ociVariant
	closer   io.Closer // nil = nothing to close
}

type ociVariant struct {
	platform Platform
	manifest descriptor
}

func (s *ociSource) Platforms() []Platform {
	out := make([]Platform, len(s.variants))
	for i, v := range s.variants {
		out[i] = v.platform
	}
	return out
}

func (s *ociSource) Image(ctx context.Context, p Platform) (*Image, error) {
	i, err := choosePlatform(s.Platforms(), p)
	if err != nil {
		return nil, err
	}
	img, err := readImage(ctx, s.blobs, s.variants[i].manifest)
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	img.Ref = s.ref
	return img, nil
}

func (s *ociSource) Close() error {
	if s.closer == nil {
		return nil
	}
	return s.closer.Close()
}

// openLayout opens the image of l that r names.
func openLayout(ctx context.Context, r Ref, l layout, c io.Closer) (Source, error) {
	raw, err := l.index()
	if err != nil {
		return nil, err
	}
	var index ociIndex
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, fmt.Errorf("read index.json: %w", err)
	}
	top, err := chooseNamed(r, index.Manifests)
	if err != nil {
		return nil, err
	}
	variants, err := findVariants(ctx, l, top, maxIndexDepth)
	if err != nil {
		return nil, err
	}
	if len(variants) == 0 {
		return nil, fmt.Errorf("%s holds no image that is complete", r)
	}
	if twice := len(top) > 1 && samePlatformTwice(variants); twice {
		return nil, &ChoiceError{Source: r.Path}
	}
	ref := familiar(r.Name)
	if ref == "" {
		ref = familiar(nameOf(top[0]))
	}
	return &ociSource{blobs: l, ref: ref, variants: variants, closer: c}, nil
}

// chooseNamed picks the descriptors of the image that r names: usually one, or one for each platform.
func chooseNamed(r Ref, all []descriptor) ([]descriptor, error) {
	byName := make(map[string][]descriptor)
	var names []string
	for _, d := range all {
		name := nameOf(d)
		if isAttestation(d) {
			continue
		}
		if r.Name != "" && (sameName(name, r.Name) || d.Annotations[annotationRef] == r.Name) {
			name = r.Name
		}
		if len(byName[name]) == 0 && name != "" {
			names = append(names, name)
		}
		byName[name] = append(byName[name], d)
	}
	slices.Sort(names)
	switch {
	case r.Name != "" && len(byName[r.Name]) > 0:
		return byName[r.Name], nil
	case r.Name != "":
		return nil, &ChoiceError{Source: r.Path, Want: r.Name, Have: names}
	case len(byName) == 0:
		return nil, fmt.Errorf("%s holds no image", r.Path)
	case len(byName) > 1 && !allEqual(all):
		return nil, &ChoiceError{Source: r.Path, Have: names}
	}
	for _, d := range byName { // one group, or one image under several names
		return d, nil
	}
	return nil, nil
}

func nameOf(d descriptor) string {
	return orElse(d.Annotations[annotationName], d.Annotations[annotationRef])
}

func allEqual(all []descriptor) bool {
	return !slices.ContainsFunc(all, func(d descriptor) bool { return d.Digest != all[0].Digest })
}

// isAttestation tells what BuildKit puts beside images.
func isAttestation(d descriptor) bool {
	return d.Annotations["vnd.docker.reference.type"] != "" || d.Platform != nil && d.Platform.OS == "unknown"
}

func samePlatformTwice(vs []ociVariant) bool {
	seen := make(map[Platform]Digest)
	for _, v := range vs {
		if d, ok := seen[v.platform]; ok && d != v.manifest.Digest {
			return true
		}
		seen[v.platform] = v.manifest.Digest
	}
	return false
}

// findVariants walks indexes down to image manifests. What a store does not hold is left out: an engine that pulled an
// image for one platform has the index of all.
func findVariants(ctx context.Context, blobs blobStore, all []descriptor, depth int) ([]ociVariant, error) {
	var out []ociVariant
	for _, d := range all {
		if isAttestation(d) {
			continue
		}
		found, err := findVariant(ctx, blobs, d, depth)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if out = append(out, found...); len(out) > maxManifests {
			return nil, fmt.Errorf("more than %d manifests: not an image", maxManifests)
		}
	}
	return out, nil
}

func findVariant(ctx context.Context, blobs blobStore, d descriptor, depth int) ([]ociVariant, error) {
	raw, err := readBlob(ctx, blobs, "manifest", d)
	if err != nil {
		return nil, err
	}
	var m struct {
		ociManifest
		Manifests []descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", d.Digest.Short(), err)
	}
	switch {
	case m.SchemaVersion != 2:
		return nil, fmt.Errorf("read manifest %s: schema version %d is not known", d.Digest.Short(), m.SchemaVersion)
	case m.Manifests != nil && depth == 0:
		return nil, fmt.Errorf("read manifest %s: more than %d indexes deep", d.Digest.Short(), maxIndexDepth)
	case m.Manifests != nil:
		return findVariants(ctx, blobs, m.Manifests, depth-1)
	}
	if d.Platform != nil && d.Platform.OS != "" && d.Platform.Architecture != "" {
		return []ociVariant{{Platform{d.Platform.OS, d.Platform.Architecture, d.Platform.Variant}, d}}, nil
	}
	c, _, err := readConfig(ctx, blobs, m.Config)
	if err != nil {
		return nil, err
	}
	return []ociVariant{{c.platform(), d}}, nil
}

// readImage reads the manifest and config of an image, and looks at the first bytes of its layers.
func readImage(ctx context.Context, blobs blobStore, d descriptor) (*Image, error) {
	raw, err := readBlob(ctx, blobs, "manifest", d)
	if err != nil {
		return nil, err
	}
	var m ociManifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", d.Digest.Short(), err)
	}
	c, config, err := readConfig(ctx, blobs, m.Config)
	if err != nil {
		return nil, err
	}
	if len(m.Layers) != len(c.RootFS.DiffIDs) {
		return nil, fmt.Errorf("manifest %s has %d layers, its config %d", d.Digest.Short(), len(m.Layers), len(c.RootFS.DiffIDs))
	}
	img := &Image{Config: config, Platform: c.platform(), local: blobs.cheap()}
	for i, l := range m.Layers {
		blob, err := describeLayer(ctx, blobs, l, c.RootFS.DiffIDs[i])
		if err != nil {
			return nil, fmt.Errorf("layer %d of %d: %w", i+1, len(m.Layers), err)
		}
		img.Layers = append(img.Layers, Layer{DiffID: c.RootFS.DiffIDs[i], Blob: blob})
	}
	img.open = func(ctx context.Context, i int) (io.ReadCloser, error) {
		b := img.Layers[i].Blob
		r, err := blobs.openBlob(ctx, b.Digest)
		if err != nil {
			return nil, err
		}
		return verify(r, b.Digest, b.Size), nil
	}
	return img, nil
}

func describeLayer(ctx context.Context, blobs blobStore, l descriptor, d DiffID) (Blob, error) {
	if err := refuseMedia(l.MediaType); err != nil {
		return Blob{}, err
	}
	if _, err := ParseDigest(string(l.Digest)); err != nil || l.Size < 0 {
		return Blob{}, fmt.Errorf("invalid descriptor: digest %.80q, %d bytes", l.Digest, l.Size)
	}
	head, err := readHead(ctx, func(ctx context.Context, d string) (io.ReadCloser, error) {
		return blobs.openBlob(ctx, Digest(d))
	}, string(l.Digest))
	if errors.Is(err, fs.ErrNotExist) && len(l.URLs) > 0 {
		return Blob{}, fmt.Errorf("its content is kept elsewhere, at %.200q", l.URLs[0])
	}
	if err != nil {
		return Blob{}, err
	}
	z, err := sniff(head)
	if err != nil {
		return Blob{}, err
	}
	if z == Plain && l.Digest != Digest(d) {
		return Blob{}, &MismatchError{Want: Digest(d), Got: l.Digest, WantSize: -1}
	}
	return Blob{Digest: l.Digest, Size: l.Size, Compression: z}, nil
}

func readConfig(ctx context.Context, blobs blobStore, d descriptor) (imageConfig, []byte, error) {
	raw, err := readBlob(ctx, blobs, "config", d)
	if err != nil {
		return imageConfig{}, nil, err
	}
	c, err := parseConfig(raw)
	return c, raw, err
}

// readBlob reads a JSON document that d describes.
func readBlob(ctx context.Context, blobs blobStore, what string, d descriptor) ([]byte, error) {
	if _, err := ParseDigest(string(d.Digest)); err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	r, err := blobs.openBlob(ctx, d.Digest)
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", what, d.Digest.Short(), err)
	}
	raw, err := readMetadata(r, what+" "+d.Digest.Short(), d.Digest)
	return raw, errors.Join(err, r.Close())
}
