package layers

import (
	"encoding/json"
	"errors"
	"fmt"
)

// maxLayers is above what any engine takes (127) and keeps a hostile config small.
const maxLayers = 1024

// imageConfig is the part of an image's config that decides where its layers go.
type imageConfig struct {
	Created      json.RawMessage `json:"created,omitempty"`
	Architecture string          `json:"architecture"`
	OS           string          `json:"os"`
	OSVersion    string          `json:"os.version,omitempty"`
	Variant      string          `json:"variant,omitempty"`
	Config       struct{}        `json:"config"`
	RootFS       struct {
		Type    string   `json:"type"`
		DiffIDs []DiffID `json:"diff_ids"`
	} `json:"rootfs"`
	History []historyEntry `json:"history,omitempty"`
}

type historyEntry struct {
	Created    json.RawMessage `json:"created,omitempty"`
	CreatedBy  string          `json:"created_by,omitempty"`
	Author     string          `json:"author,omitempty"`
	Comment    string          `json:"comment,omitempty"`
	EmptyLayer bool            `json:"empty_layer,omitempty"`
}

// parseConfig reads an image's config and checks its diff IDs.
func parseConfig(raw []byte) (imageConfig, error) {
	var c imageConfig
	if len(raw) > maxMetadata {
		return imageConfig{}, errors.New("image config is larger than 16 MiB")
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return imageConfig{}, fmt.Errorf("image config: %w", err)
	}
	if c.RootFS.Type != "layers" {
		return imageConfig{}, fmt.Errorf("image config: rootfs type %.40q: not a container image", c.RootFS.Type)
	}
	if n := len(c.RootFS.DiffIDs); n > maxLayers {
		return imageConfig{}, fmt.Errorf("image config: %d layers are too many", n)
	}
	for i, d := range c.RootFS.DiffIDs {
		if _, err := ParseDiffID(string(d)); err != nil {
			return imageConfig{}, fmt.Errorf("image config: layer %d: %w", i, err)
		}
	}
	return c, nil
}

func (c imageConfig) platform() Platform {
	return Platform{OS: orElse(c.OS, "linux"), Arch: c.Architecture, Variant: c.Variant}
}

// Prefix returns the config of the image that consists of the lowest n layers, for loading an image layer by layer:
// once the prefix is loaded, the engine holds those layers. It runs nothing and carries no labels, so that nobody
// takes it for a release.
func Prefix(config []byte, n int) ([]byte, error) {
	c, err := parseConfig(config)
	if err != nil {
		return nil, fmt.Errorf("cut image config: %w", err)
	}
	if n < 1 || n > len(c.RootFS.DiffIDs) {
		return nil, fmt.Errorf("cut image config: %d of %d layers", n, len(c.RootFS.DiffIDs))
	}
	c.RootFS.DiffIDs = c.RootFS.DiffIDs[:n]
	c.History = cutHistory(c.History, n)
	out, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("cut image config: %w", err)
	}
	return out, nil
}

// cutHistory keeps the entries up to the n-th that made a layer.
func cutHistory(history []historyEntry, n int) []historyEntry {
	for i, h := range history {
		if n == 0 {
			return history[:i]
		}
		if !h.EmptyLayer {
			n--
		}
	}
	return history
}
