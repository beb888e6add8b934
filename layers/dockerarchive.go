package layers

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// dockerSource is one image of a docker-archive, perhaps for several platforms.
type dockerSource struct {
	archive *tarFile
	images  []*Image
}

func (s *dockerSource) Close() error { return s.archive.Close() }

func (s *dockerSource) Platforms() []Platform {
	out := make([]Platform, len(s.images))
	for i, img := range s.images {
		out[i] = img.Platform
	}
	return out
}

func (s *dockerSource) Image(_ context.Context, p Platform) (*Image, error) {
	i, err := choosePlatform(s.Platforms(), p)
	if err != nil {
		return nil, err
	}
	return s.images[i], nil
}

// openDockerArchive opens the image of a that r names: by a tag, or as @0, @1 by its place.
func openDockerArchive(r Ref, a *tarFile) (Source, error) {
	raw, err := a.metadata("manifest.json", "")
	if err != nil {
		return nil, err
	}
	var items []archiveItem
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, fmt.Errorf("read manifest.json: %w", err)
	}
	chosen, err := chooseItems(r, items)
	if err != nil {
		return nil, err
	}
	s := &dockerSource{archive: a}
	for _, item := range chosen {
		img, err := itemImage(a, item)
		if err != nil {
			return nil, fmt.Errorf("read image: %w", err)
		}
		img.Ref = familiar(r.Name)
		if img.Ref == "" && len(item.RepoTags) > 0 {
			img.Ref = familiar(item.RepoTags[0])
		}
		s.images = append(s.images, img)
	}
	return s, nil
}

// chooseItems picks the image that r names. Items of one tag are one image for several platforms.
func chooseItems(r Ref, items []archiveItem) ([]archiveItem, error) {
	if n, ok := strings.CutPrefix(r.Name, "@"); ok {
		i, err := strconv.Atoi(n)
		if err != nil || i < 0 || i >= len(items) {
			return nil, fmt.Errorf("%s holds %d images, not %s", r.Path, len(items), r.Name)
		}
		return items[i : i+1], nil
	}
	var named []archiveItem
	var tags []string
	for _, item := range items {
		tags = append(tags, item.RepoTags...)
		if slices.ContainsFunc(item.RepoTags, func(t string) bool { return r.Name != "" && sameName(t, r.Name) }) {
			named = append(named, item)
		}
	}
	slices.Sort(tags)
	tags = slices.Compact(tags)
	switch {
	case len(named) > 0:
		return named, nil
	case r.Name != "":
		return nil, &ChoiceError{Source: r.Path, Want: r.Name, Have: tags}
	case len(items) == 0:
		return nil, fmt.Errorf("%s holds no image", r.Path)
	case len(items) == 1:
		return items, nil
	}
	for _, item := range items {
		if !slices.Equal(item.RepoTags, items[0].RepoTags) || len(item.RepoTags) == 0 {
			return nil, &ChoiceError{Source: r.Path, Have: tags}
		}
	}
	return items, nil
}

func itemImage(a *tarFile, item archiveItem) (*Image, error) {
	config, err := a.metadata(item.Config, "")
	if err != nil {
		return nil, err
	}
	c, err := parseConfig(config)
	if err != nil {
		return nil, err
	}
	if len(item.Layers) != len(c.RootFS.DiffIDs) {
		return nil, fmt.Errorf("manifest.json names %d layers, the config %d", len(item.Layers), len(c.RootFS.DiffIDs))
	}
	img := &Image{Config: config, Platform: c.platform(), local: true}
	for i, name := range item.Layers {
		blob, err := itemLayer(a, name, c.RootFS.DiffIDs[i])
		if err != nil {
			return nil, fmt.Errorf("layer %d of %d: %w", i+1, len(item.Layers), err)
		}
		img.Layers = append(img.Layers, Layer{DiffID: c.RootFS.DiffIDs[i], Blob: blob})
	}
	names := blobNames{digests: make(map[int]Digest)}
	img.openAt = func(_ context.Context, i int) (*storedBlob, error) {
		return a.stored(item.Layers[i], img.Layers[i].Blob)
	}
	img.open = func(ctx context.Context, i int) (io.ReadCloser, error) {
		l := img.Layers[i]
		if l.Blob.Digest == "" {
			var err error
			if l.Blob.Digest, err = names.of(i, func() (Digest, error) { return nameBlob(ctx, a, item.Layers[i], l) }); err != nil {
				return nil, err
			}
		}
		return openItemLayer(a, item.Layers[i], l)
	}
	return img, nil
}

// itemLayer describes a layer's file. The digest of a compressed one is what its name says, if that is a blob's;
// it is checked when it is read.
func itemLayer(a *tarFile, name string, d DiffID) (Blob, error) {
	r, size, err := a.open(name)
	if err != nil {
		return Blob{}, err
	}
	head := make([]byte, magicLen)
	n, err := io.ReadFull(r, head)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return Blob{}, err
	}
	z, err := sniff(head[:n])
	if err != nil {
		return Blob{}, err
	}
	blob := Blob{Size: size, Compression: z}
	if z == Plain {
		blob.Digest = Digest(d)
		return blob, nil
	}
	if h, ok := strings.CutPrefix(name, "blobs/sha256/"); ok {
		blob.Digest, err = ParseDigest("sha256:" + h)
	}
	return blob, err
}

// blobNames remembers what nameBlob found.
type blobNames struct {
	mu      sync.Mutex
	digests map[int]Digest
}

func (b *blobNames) of(i int, find func() (Digest, error)) (Digest, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d, ok := b.digests[i]; ok {
		return d, nil
	}
	d, err := find()
	if err == nil {
		b.digests[i] = d
	}
	return d, err
}

func openItemLayer(a *tarFile, name string, l Layer) (io.ReadCloser, error) {
	r, _, err := a.open(name)
	if err != nil {
		return nil, err
	}
	return verify(r, l.Blob.Digest, l.Blob.Size), nil
}

// nameBlob finds the digest of a compressed layer that nobody named, and checks what is inside on the way.
func nameBlob(ctx context.Context, a *tarFile, name string, l Layer) (Digest, error) {
	b, err := a.stored(name, l.Blob)
	if err != nil {
		return "", err
	}
	named, err := b.check(ctx, l.DiffID, true, nil)
	return named.Digest, err
}
