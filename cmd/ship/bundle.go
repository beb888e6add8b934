package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"ship/internal/event"
	"ship/internal/ui"
	"ship/layers"
	"ship/orchestrate"
	"ship/transfer/bundle"
)

// BundleCmd carries images on a stick to sites without any line.
type BundleCmd struct {
	Export BundleExportCmd `cmd:"" help:"Write an image to a file: only the layers that the far side lacks."`
	Import BundleImportCmd `cmd:"" help:"Check such a file, and bring its image to hosts or the local engine."`
}

// transportBundle is the source that a bundle is: bundle:FILE.
const transportBundle = "bundle"

// bundleSummary is what the results of export and import say of a bundle.
type bundleSummary struct {
	Image     string           `json:"image"`
	Bytes     int64            `json:"bytes"`
	Partial   bool             `json:"partial"` // layers were left out
	Platforms []bundlePlatform `json:"platforms"`
}

type bundlePlatform struct {
	Platform string             `json:"platform"`
	Hosts    []string           `json:"hosts,omitempty"`
	Included int                `json:"layers_included"`
	LeftOut  int                `json:"layers_left_out"`
	Bytes    int64              `json:"bytes"` // of the layers that are included
	Layers   []bundle.LayerInfo `json:"layers"`
}

func summaryOf(h bundle.Header, size int64) bundleSummary {
	s := bundleSummary{Image: h.Image, Bytes: size, Partial: h.Partial()}
	for _, p := range h.Platforms {
		out := bundlePlatform{Platform: p.Platform.String(), Hosts: p.Hosts, Layers: p.Layers}
		for _, l := range p.Layers {
			if l.Digest == "" {
				out.LeftOut++
				continue
			}
			out.Included++
			out.Bytes += l.Size
		}
		s.Platforms = append(s.Platforms, out)
	}
	return s
}

func (d *deps) printSummary(s bundleSummary) {
	rows := [][]string{{"IMAGE", "PLATFORM", "LAYERS IN IT", "LEFT OUT", "BYTES", "FOR"}}
	for _, p := range s.Platforms {
		hosts := strings.Join(p.Hosts, ", ")
		if hosts == "" {
			hosts = "any host"
		}
		rows = append(rows, []string{s.Image, p.Platform, fmt.Sprint(p.Included), fmt.Sprint(p.LeftOut), ui.Bytes(p.Bytes), hosts})
	}
	d.table(rows)
}

// openBundle opens a bundle, and says in its error how grave it is.
func (d *deps) openBundle(path string) (*bundle.File, error) {
	f, err := bundle.Open(path)
	return f, bundleError(err)
}

// verifyBundle reads all of it.
func (d *deps) verifyBundle(ctx context.Context, f *bundle.File) error {
	d.ui.Emit(event.Event{Type: event.Phase, Phase: "verify"})
	return bundleError(f.Verify(ctx, d.ui.Emit))
}

// bundleError: what is no bundle was named by mistake, and one that is damaged is refused before anything is sent.
func bundleError(err error) error {
	var foreign *bundle.ForeignError
	var damage *bundle.DamageError
	var cut *bundle.TruncatedError
	switch {
	case errors.As(err, &foreign), errors.Is(err, fs.ErrNotExist):
		return &usageError{err, ""}
	case errors.As(err, &damage):
		return &orchestrate.RefusedError{Cause: err.Error(), Help: damage.Hint()}
	case errors.As(err, &cut):
		return &orchestrate.RefusedError{Cause: err.Error(), Help: cut.Hint()}
	}
	return err
}

// bundleSource opens bundle:FILE. All that is read of it is checked, so it needs no look at the whole first.
func (d *deps) bundleSource(path string) (layers.Source, layers.Ref, func(), error) {
	ref := layers.Ref{Transport: transportBundle, Path: path}
	f, err := d.openBundle(path)
	if err != nil {
		return nil, ref, nil, err
	}
	return f, ref, func() { _ = f.Close() }, nil
}

// byteSize is a flag for a number of bytes: 4GB, 700MB (of 1000), 4GiB (of 1024).
type byteSize int64

// UnmarshalText reads a flag's value.
func (b *byteSize) UnmarshalText(text []byte) error {
	s := strings.ToLower(strings.TrimSpace(string(text)))
	number := strings.TrimRight(s, "kmgtib")
	factors := map[string]int64{"": 1, "b": 1, "k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9, "t": 1e12, "tb": 1e12,
		"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
	factor, known := factors[s[len(number):]]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !known || !(n > 0) || n*float64(factor) >= 1<<62 {
		return fmt.Errorf("%.40q is no size: write 4GB, 700MB or 4GiB", text)
	}
	*b = byteSize(n * float64(factor))
	return nil
}
