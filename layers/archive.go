package layers

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// ArchiveLayer is one layer of an Archive. Open nil means that the host holds it: it is named, not written.
type ArchiveLayer struct {
	DiffID DiffID
	Blob   Blob // as written, or as the host holds it; Digest and Size are needed
	// Open returns Blob.Size bytes that are verified while they are read, see Image.Open.
	Open func() (io.ReadCloser, error)
}

// Archive is an image as `docker load` reads it on every engine: a tar that is an OCI layout and a docker-archive at
// once. The metadata comes last: engines of containerd stores take an archive that is cut after its metadata for whole,
// and tag a broken image. Equal archives give equal bytes.
type Archive struct {
	Config []byte // of the image, or of a Prefix
	Layers []ArchiveLayer
	Tag    string // the image's name once loaded, e.g. "shop:v1"; "" = none
}

// archiveItem is an element of a docker-archive's manifest.json.
type archiveItem struct {
	Config   string
	RepoTags []string
	Layers   []string
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      Digest            `json:"digest"`
	Size        int64             `json:"size"`
	URLs        []string          `json:"urls,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    *ociPlatform      `json:"platform,omitempty"`
}

type ociPlatform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	OSVersion    string `json:"os.version,omitempty"`
	Variant      string `json:"variant,omitempty"`
}

type ociManifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType,omitempty"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type ociIndex struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType,omitempty"`
	Manifests     []descriptor `json:"manifests"`
}

// The annotations by which an OCI layout names an image.
const (
	annotationRef  = "org.opencontainers.image.ref.name"
	annotationName = "io.containerd.image.name"
)

// WriteTo writes the whole archive.
func (a Archive) WriteTo(w io.Writer) (int64, error) {
	c := &countingWriter{w: w}
	err := a.WriteLayers(c)
	if err == nil {
		err = a.WriteMetadata(c)
	}
	return c.n, err
}

// WriteLayers writes the layers that are not held, bottom first, each blob once; to a Splicer it names them. Nothing happens at a host before
// WriteMetadata follows on the same stream, which the caller may put off.
func (a Archive) WriteLayers(w io.Writer) error {
	if err := a.check(); err != nil {
		return err
	}
	tw := tar.NewWriter(w)
	write := func(l ArchiveLayer) error { return writeLayer(tw, l) }
	if s, ok := w.(Splicer); ok {
		write = func(l ArchiveLayer) error { return spliceLayer(s, l) }
	}
	written := make(map[Digest]bool, len(a.Layers))
	for _, l := range a.Layers {
		if l.Open == nil || written[l.Blob.Digest] {
			continue
		}
		if err := write(l); err != nil {
			return fmt.Errorf("layer %s: %w", l.DiffID.Short(), err)
		}
		written[l.Blob.Digest] = true
	}
	return tw.Flush()
}

// WriteMetadata writes the config, the manifests and the end of the archive.
func (a Archive) WriteMetadata(w io.Writer) error {
	files, err := a.metadata()
	if err != nil {
		return err
	}
	tw := tar.NewWriter(w)
	for _, f := range files {
		if err := tw.WriteHeader(entryHeader(f.name, int64(len(f.data)))); err != nil {
			return err
		}
		if _, err := tw.Write(f.data); err != nil {
			return err
		}
	}
	return tw.Close()
}

// ManifestDigest is the image's ID on a containerd store, once this archive is loaded there.
func (a Archive) ManifestDigest() (Digest, error) {
	m, err := a.manifest()
	return DigestOf(m), err
}

// Size is how many bytes of layers WriteLayers writes, without tar headers.
func (a Archive) Size() int64 {
	var n int64
	written := make(map[Digest]bool, len(a.Layers))
	for _, l := range a.Layers {
		if l.Open != nil && !written[l.Blob.Digest] {
			n += l.Blob.Size
			written[l.Blob.Digest] = true
		}
	}
	return n
}

type metadataFile struct {
	name string
	data []byte
}

func (a Archive) metadata() ([]metadataFile, error) {
	manifest, err := a.manifest()
	if err != nil {
		return nil, err
	}
	index, err := a.index(manifest)
	if err != nil {
		return nil, err
	}
	tag := a.Tag
	if tag != "" {
		if tag, err = FamiliarRef(a.Tag); err != nil {
			return nil, err
		}
	}
	paths := make([]string, len(a.Layers))
	for i, l := range a.Layers {
		paths[i] = blobPath(l.Blob.Digest)
	}
	config := blobPath(DigestOf(a.Config))
	items, err := json.Marshal([]archiveItem{newArchiveItem(config, tag, paths)})
	if err != nil {
		return nil, err
	}
	return []metadataFile{
		{config, a.Config},
		{blobPath(DigestOf(manifest)), manifest},
		{"manifest.json", items},
		{"index.json", index},
		{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)},
	}, nil
}

func (a Archive) manifest() ([]byte, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	m := ociManifest{SchemaVersion: 2, MediaType: mediaManifest, Layers: []descriptor{}}
	m.Config = descriptor{MediaType: mediaConfig, Digest: DigestOf(a.Config), Size: int64(len(a.Config))}
	for _, l := range a.Layers {
		m.Layers = append(m.Layers, descriptor{MediaType: l.Blob.Media(), Digest: l.Blob.Digest, Size: l.Blob.Size})
	}
	return json.Marshal(m)
}

func (a Archive) index(manifest []byte) ([]byte, error) {
	c, err := parseConfig(a.Config)
	if err != nil {
		return nil, err
	}
	p := c.platform()
	d := descriptor{MediaType: mediaManifest, Digest: DigestOf(manifest), Size: int64(len(manifest)),
		Platform: &ociPlatform{Architecture: p.Arch, OS: p.OS, OSVersion: c.OSVersion, Variant: p.Variant}}
	if a.Tag != "" {
		full, err := NormalizeRef(a.Tag)
		if err != nil {
			return nil, err
		}
		_, tag := splitTag(full)
		d.Annotations = map[string]string{annotationName: full, annotationRef: tag}
	}
	return json.Marshal(ociIndex{SchemaVersion: 2, MediaType: mediaIndex, Manifests: []descriptor{d}})
}

// check refuses an archive whose parts do not belong together, before a byte of it is written.
func (a Archive) check() error {
	c, err := parseConfig(a.Config)
	if err != nil {
		return err
	}
	if len(c.RootFS.DiffIDs) != len(a.Layers) {
		return fmt.Errorf("archive: %d layers for a config of %d", len(a.Layers), len(c.RootFS.DiffIDs))
	}
	for i, l := range a.Layers {
		if l.DiffID != c.RootFS.DiffIDs[i] {
			return fmt.Errorf("archive: layer %d is %s, the config says %s", i, l.DiffID.Short(), c.RootFS.DiffIDs[i].Short())
		}
		if _, err := ParseDigest(string(l.Blob.Digest)); err != nil {
			return fmt.Errorf("archive: layer %d: %w", i, err)
		}
		if l.Blob.Size < 0 {
			return fmt.Errorf("archive: layer %d: size is not known", i)
		}
	}
	return nil
}

func writeLayer(tw *tar.Writer, l ArchiveLayer) error {
	if err := tw.WriteHeader(entryHeader(blobPath(l.Blob.Digest), l.Blob.Size)); err != nil {
		return err
	}
	r, err := l.Open()
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(onlyWriter{tw}, r, make([]byte, 256<<10))
	if err == nil && n < l.Blob.Size {
		err = io.ErrUnexpectedEOF
	}
	return errors.Join(err, r.Close())
}

// entryHeader is the same for every entry but for its name and size, so that equal images give equal archives.
func entryHeader(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0)}
}

func newArchiveItem(config, tag string, paths []string) archiveItem {
	item := archiveItem{Config: config, Layers: paths}
	if tag != "" {
		item.RepoTags = []string{tag}
	}
	return item
}

func blobPath(d Digest) string { return "blobs/sha256/" + d.Hex() }

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// onlyWriter hides other methods, so that io.CopyBuffer uses the buffer it is given.
type onlyWriter struct{ io.Writer }
