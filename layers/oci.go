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
	// stored gives random access to a blob; nil = there is none.
	stored(b Blob) (*storedBlob, error)
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

func (l layoutDir) stored(b Blob) (*storedBlob, error) {
	f, err := openRegular(filepath.Join(string(l), "blobs", "sha256", b.Digest.Hex()))
	if err != nil {
		return nil, err
	}
	return &storedBlob{ReaderAt: f, blob: b, free: f.Close, path: f.Name()}, nil
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
func (l layoutTar) stored(b Blob) (*storedBlob, error) {
	return l.tarFile.stored(blobPath(b.Digest), b)
}

func (l layoutTar) openBlob(_ context.Context, d Digest) (io.ReadCloser, error) {
	r, _, err := l.open(blobPath(d))
	return r, err
}

// ociSource is one image of a blobStore, for one or more platforms.
type ociSource struct {
	blobs    blobStore
	ref      string
	variants []ociVariant
	unproven bool      // see Image
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
	img.Ref, img.unproven = s.ref, s.unproven
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
