package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"ship/layers"
)

// inventoryVersion is the version of the inventory's format that is written, and the newest that is read.
const inventoryVersion = 1

// Limits of an inventory that is read: what a person brings may be any file.
const (
	maxInventory = 64 << 20 // bytes
	maxHosts     = 10_000
	maxName      = 300     // bytes
	maxImages    = 1 << 15 // of one host
	maxBlobs     = 1 << 20 // of one host
	maxLayers    = 1024    // of one image

	maxPlatformWord = 32 // bytes
)

// The kinds of image store.
const (
	StoreGraph      = "graph-driver"
	StoreContainerd = "containerd"
)

// Inventory says what the hosts of a site hold. It names hosts only as the person did who asked them.
type Inventory struct {
	Version int       `json:"version"`
	Time    time.Time `json:"time"`
	Hosts   []Host    `json:"hosts"`
}

// Platform as in an image's config.
type Platform struct {
	OS      string `json:"os"`
	Arch    string `json:"architecture"`
	Variant string `json:"variant,omitempty"`
}

func (p Platform) String() string { return layers.Platform(p).String() }

// check refuses what is no platform. It is shown to people, so it has to be fit for that.
func (p Platform) check() error {
	for _, s := range []string{p.OS, p.Arch, p.Variant} {
		if len(s) > maxPlatformWord || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-.") != "" {
			return fmt.Errorf("%.60q is no platform", p)
		}
	}
	if p.OS == "" || p.Arch == "" {
		return errors.New("no platform")
	}
	return nil
}

// Host is one host of an inventory.
type Host struct {
	Name     string   `json:"name"`
	Platform Platform `json:"platform"` // of its engine
	Engine   string   `json:"engine"`   // version
	Store    string   `json:"store"`    // StoreGraph or StoreContainerd
	Zstd     bool     `json:"zstd"`     // the engine reads layers packed with zstd
	// Images of a graph driver: the diff IDs of each, bottom first. A layer is held on top of those below it only.
	Images [][]layers.DiffID `json:"images,omitempty"`
	// Blobs of a containerd store that are layers: there each is held by itself.
	Blobs []Blob `json:"blobs,omitempty"`
}

// Blob is a layer in a containerd store.
type Blob struct {
	DiffID      layers.DiffID `json:"diff_id"`
	Digest      layers.Digest `json:"digest"`
	Size        int64         `json:"size"` // bytes
	Compression string        `json:"compression,omitempty"`
}

// NewInventory is the inventory of hosts at a time.
func NewInventory(at time.Time, hosts []Host) Inventory {
	return Inventory{Version: inventoryVersion, Time: at.UTC().Truncate(time.Second), Hosts: hosts}
}

// ReadInventory reads what Write wrote, and checks it.
func ReadInventory(r io.Reader) (Inventory, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxInventory+1))
	if err != nil {
		return Inventory{}, fmt.Errorf("read inventory: %w", err)
	}
	v, err := parseInventory(raw)
	if err != nil {
		return Inventory{}, fmt.Errorf("read inventory: %w", err)
	}
	return v, nil
}

func parseInventory(raw []byte) (Inventory, error) {
	if len(raw) > maxInventory {
		return Inventory{}, errors.New("larger than 64 MiB")
	}
	var head struct {
		Version int             `json:"version"`
		Hosts   json.RawMessage `json:"hosts"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return Inventory{}, fmt.Errorf("not an inventory of `ship hosts inventory`: %w", err)
	}
	switch {
	case head.Version == 0 || head.Hosts == nil:
		return Inventory{}, errors.New("not an inventory of `ship hosts inventory`: it has no version or no hosts")
	case head.Version != inventoryVersion:
		return Inventory{}, fmt.Errorf("format %d is not known to this version of ship, which reads format %d", head.Version, inventoryVersion)
	}
	var v Inventory
	if err := json.Unmarshal(raw, &v); err != nil {
		return Inventory{}, err
	}
	return v, v.check()
}

// Write writes the inventory as JSON.
func (v Inventory) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write inventory: %w", err)
	}
	return nil
}

func (v Inventory) check() error {
	if len(v.Hosts) == 0 || len(v.Hosts) > maxHosts {
		return fmt.Errorf("%d hosts", len(v.Hosts))
	}
	seen := make(map[string]bool, len(v.Hosts))
	for _, h := range v.Hosts {
		if seen[h.Name] {
			return fmt.Errorf("host %.100q is in it twice", h.Name)
		}
		seen[h.Name] = true
		if err := h.check(); err != nil {
			return fmt.Errorf("host %.100q: %w", h.Name, err)
		}
	}
	return nil
}

func (h Host) check() error {
	switch {
	case h.Name == "" || len(h.Name) > maxName:
		return errors.New("no name, or too long a one")
	case h.Store != StoreGraph && h.Store != StoreContainerd:
		return fmt.Errorf("store %.40q is not known", h.Store)
	case len(h.Images) > maxImages || len(h.Blobs) > maxBlobs:
		return fmt.Errorf("%d images and %d blobs are too many", len(h.Images), len(h.Blobs))
	}
	if err := h.Platform.check(); err != nil {
		return err
	}
	for _, stack := range h.Images {
		if len(stack) > maxLayers {
			return fmt.Errorf("an image of %d layers", len(stack))
		}
		for _, d := range stack {
			if _, err := layers.ParseDiffID(string(d)); err != nil {
				return err
			}
		}
	}
	for _, b := range h.Blobs {
		if _, err := layers.ParseDiffID(string(b.DiffID)); err != nil {
			return err
		}
		if _, err := layers.ParseDigest(string(b.Digest)); err != nil || b.Size < 0 {
			return fmt.Errorf("blob %.80q of %d bytes", b.Digest, b.Size)
		}
	}
	return nil
}

// Held is what the host has of img, as far as the inventory knows.
func (h Host) Held(img *layers.Image) layers.Held {
	held := layers.Held{ContainerdStore: h.Store == StoreContainerd}
	if held.ContainerdStore {
		held.Blobs = make(map[layers.DiffID]layers.Blob)
		for _, b := range h.Blobs {
			held.Blobs[b.DiffID] = layers.Blob{Digest: b.Digest, Size: b.Size, Compression: layers.Compression(b.Compression)}
		}
		return held
	}
	ids := img.DiffIDs()
	for _, stack := range h.Images {
		held.Prefix = max(held.Prefix, commonPrefix(ids, stack))
	}
	return held
}

func commonPrefix(a, b []layers.DiffID) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// CompactImages sorts stacks and leaves out those that are the bottom of another one, or that are no stacks of layers
// at all: hosts may answer anything.
func CompactImages(stacks [][]layers.DiffID) [][]layers.DiffID {
	kept := slices.DeleteFunc(slices.Clone(stacks), func(s []layers.DiffID) bool {
		return len(s) == 0 || len(s) > maxLayers || slices.ContainsFunc(s, func(d layers.DiffID) bool {
			_, err := layers.ParseDiffID(string(d))
			return err != nil
		})
	})
	slices.SortFunc(kept, slices.Compare)
	var out [][]layers.DiffID
	for i, s := range kept {
		if i+1 < len(kept) && commonPrefix(s, kept[i+1]) == len(s) {
			continue // sorted, so whatever continues s comes right after it
		}
		out = append(out, s)
	}
	return out[:min(len(out), maxImages)]
}

// SortedBlobs lists the layers of a containerd store in an order of their own, so that equal stores give equal files.
func SortedBlobs(blobs map[layers.DiffID]layers.Blob) []Blob {
	out := make([]Blob, 0, len(blobs))
	for d, b := range blobs {
		out = append(out, Blob{DiffID: d, Digest: b.Digest, Size: b.Size, Compression: string(b.Compression)})
	}
	slices.SortFunc(out, func(a, b Blob) int { return strings.Compare(string(a.DiffID), string(b.DiffID)) })
	return out[:min(len(out), maxBlobs)]
}

// Layers is how many different layers the host holds.
func (h Host) Layers() int {
	if h.Store == StoreContainerd {
		return len(h.Blobs)
	}
	chains := make(map[layers.ChainID]bool)
	for _, stack := range h.Images {
		for _, c := range layers.Chain(stack) {
			chains[c] = true
		}
	}
	return len(chains)
}
