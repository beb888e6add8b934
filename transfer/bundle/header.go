package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ship/layers"
)

// bundleVersion is the version of the bundle's format that is written, and the only one that is read.
const bundleVersion = 1

// Limits of a bundle that is read.
const (
	maxHeader    = 16 << 20 // bytes
	maxEntries   = 1 << 14
	maxPlatforms = 256
	maxSize      = 1 << 40 // bytes of the file: its list of checksums then takes 68 MB
)

const (
	headerName = "ship-bundle.json"
	sumsName   = "ship-bundle.sums"
	endName    = "ship-bundle.end"
	blobDir    = "blobs/sha256/"
)

// Header is the first entry of a bundle: what is in it, and what was left out and why.
type Header struct {
	Version   int            `json:"version"`
	Image     string         `json:"image"` // what people call it; "" = the source did not say
	Made      time.Time      `json:"made"`
	Inventory *time.Time     `json:"inventory,omitempty"` // when it was taken; nil = there was none, nothing is left out
	Platforms []PlatformInfo `json:"platforms"`
	Entries   []Entry        `json:"entries"` // the files that follow in the tar, in order, up to the checksums
}

// PlatformInfo is the image for one platform.
type PlatformInfo struct {
	Platform Platform      `json:"platform"`
	Hosts    []string      `json:"hosts,omitempty"` // of the inventory, for which it is
	Config   layers.Digest `json:"config"`
	Layers   []LayerInfo   `json:"layers"` // bottom first
}

// LayerInfo is one layer. It is in the bundle as a blob, or it was left out.
type LayerInfo struct {
	DiffID      layers.DiffID `json:"diff_id"`
	Digest      layers.Digest `json:"digest,omitempty"` // of the blob; "" = left out
	Size        int64         `json:"size,omitempty"`   // of the blob, bytes
	Compression string        `json:"compression,omitempty"`
	LackedBy    []string      `json:"lacked_by,omitempty"` // hosts of the inventory
	LeftOut     string        `json:"left_out,omitempty"`  // why
}

// Entry is a file of the tar.
type Entry struct {
	Name   string        `json:"name"`
	Size   int64         `json:"size"` // bytes
	SHA256 layers.Digest `json:"sha256"`
}

// Partial tells whether layers were left out.
func (h Header) Partial() bool {
	return slices.ContainsFunc(h.Platforms, func(p PlatformInfo) bool {
		return slices.ContainsFunc(p.Layers, func(l LayerInfo) bool { return l.Digest == "" })
	})
}

// Taken says for people when the inventory was taken; "" = there was none.
func (h Header) Taken() string {
	if h.Inventory == nil {
		return ""
	}
	return timeText(*h.Inventory)
}

// parseHeader reads a header and checks that its parts belong together.
func parseHeader(raw []byte) (Header, error) {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return Header{}, err
	}
	if head.Version != bundleVersion {
		return Header{}, fmt.Errorf("format %d is not known to this version of ship, which reads format %d", head.Version, bundleVersion)
	}
	var h Header
	if err := json.Unmarshal(raw, &h); err != nil {
		return Header{}, err
	}
	if err := h.check(); err != nil {
		return Header{}, err
	}
	return h, nil
}

func (h Header) check() error {
	if len(h.Image) > maxName || len(h.Entries) > maxEntries || len(h.Platforms) > maxPlatforms || len(h.Platforms) == 0 {
		return fmt.Errorf("%d entries for %d platforms, or a name of %d bytes", len(h.Entries), len(h.Platforms), len(h.Image))
	}
	sizes := make(map[string]int64, len(h.Entries))
	total := int64(0)
	for _, e := range h.Entries {
		if err := e.check(); err != nil {
			return err
		}
		if _, twice := sizes[e.Name]; twice {
			return fmt.Errorf("entry %s is there twice", e.Name)
		}
		sizes[e.Name] = e.Size
		if total += e.Size; total > maxSize {
			return errors.New("larger than 1 TiB")
		}
	}
	for _, p := range h.Platforms {
		if err := p.check(sizes); err != nil {
			return fmt.Errorf("%.60q: %w", p.Platform, err)
		}
	}
	return nil
}

// metadataNames are the entries besides blobs: those that make a whole bundle readable for `docker load`.
var metadataNames = []string{"manifest.json", "index.json", "oci-layout"}

func (e Entry) check() error {
	if _, err := layers.ParseDigest(string(e.SHA256)); err != nil {
		return fmt.Errorf("entry %.100q: %w", e.Name, err)
	}
	blob, isBlob := strings.CutPrefix(e.Name, blobDir)
	if isBlob && blob != e.SHA256.Hex() || !isBlob && !slices.Contains(metadataNames, e.Name) {
		return fmt.Errorf("entry %.100q is none of a bundle", e.Name)
	}
	if e.Size < 0 || e.Size > maxSize {
		return fmt.Errorf("entry %s: %d bytes", e.Name, e.Size)
	}
	return nil
}

// check that what the platform names is among the entries, of which sizes tells the bytes.
func (p PlatformInfo) check(sizes map[string]int64) error {
	if err := p.Platform.check(); err != nil {
		return err
	}
	if len(p.Layers) > maxLayers {
		return fmt.Errorf("%d layers are too many", len(p.Layers))
	}
	if _, err := layers.ParseDigest(string(p.Config)); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if n, ok := sizes[blobName(p.Config)]; !ok || n > maxHeader {
		return errors.New("its config is missing, or larger than 16 MiB")
	}
	for i, l := range p.Layers {
		if err := l.check(sizes); err != nil {
			return fmt.Errorf("layer %d: %w", i+1, err)
		}
	}
	return nil
}

func (l LayerInfo) check(sizes map[string]int64) error {
	if _, err := layers.ParseDiffID(string(l.DiffID)); err != nil {
		return err
	}
	if l.Digest == "" {
		return nil
	}
	n, ok := sizes[blobName(l.Digest)]
	switch z := layers.Compression(l.Compression); {
	case !ok || n != l.Size:
		return fmt.Errorf("blob %.80q of %d bytes is not among the entries", l.Digest, l.Size)
	case z != layers.Plain && z != layers.Gzip && z != layers.Zstd:
		return fmt.Errorf("compression %.40q is not known", z)
	}
	return nil
}

func blobName(d layers.Digest) string { return blobDir + d.Hex() }
