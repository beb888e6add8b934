package bundle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ship/layers"
)

// Plan says what of an image goes into a bundle. It is made of values and of the image's source: making one changes
// nothing.
type Plan struct {
	Name      string    // what people call the image, "shop:v1"
	Inventory time.Time // when the inventory was taken; zero = there is none, and everything goes in
	Parts     []PlatformPlan
}

// PlatformPlan is the plan for the hosts that get the same image.
type PlatformPlan struct {
	Image  *layers.Image
	Hosts  []string // of the inventory
	Accept layers.Accept
	Lacks  [][]string // for each layer the hosts that lack it; those that none lacks are left out. Nil = all go in
}

// Includes tells whether layer i goes in.
func (p PlatformPlan) Includes(i int) bool { return p.Lacks == nil || len(p.Lacks[i]) > 0 }

// HostError refuses a host of the inventory: the source has no image that it could run.
type HostError struct {
	Host string
	Err  error
}

func (e *HostError) Error() string { return e.Host + ": " + e.Err.Error() }
func (e *HostError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *HostError) Hint() string {
	return "build the image for its platform too, or take the inventory without this host"
}

// NewPlan plans for all platforms of src, or, with an inventory, for those of its hosts.
func NewPlan(ctx context.Context, src layers.Source, inv *Inventory) (Plan, error) {
	if inv == nil {
		return planAll(ctx, src)
	}
	p := Plan{Inventory: inv.Time}
	at := make(map[layers.Digest]int) // index of the part, by the image's config
	var refused []error
	for _, h := range inv.Hosts {
		img, err := src.Image(ctx, layers.Platform(h.Platform))
		var none *layers.PlatformError
		if errors.As(err, &none) {
			refused = append(refused, &HostError{h.Name, err})
			continue
		}
		if err != nil {
			return Plan{}, fmt.Errorf("read image: %w", err)
		}
		i, ok := at[img.ConfigDigest()]
		if !ok {
			i = len(p.Parts)
			at[img.ConfigDigest()] = i
			p.Parts = append(p.Parts, PlatformPlan{Image: img, Accept: layers.Accept{Zstd: true}, Lacks: make([][]string, len(img.Layers))})
			p.Name = img.Ref
		}
		p.Parts[i].add(h)
	}
	return p, errors.Join(refused...)
}

func (p *PlatformPlan) add(h Host) {
	p.Hosts = append(p.Hosts, h.Name)
	p.Accept.Zstd = p.Accept.Zstd && h.Zstd
	for _, i := range h.Held(p.Image).Missing(p.Image) {
		p.Lacks[i] = append(p.Lacks[i], h.Name)
	}
}

func planAll(ctx context.Context, src layers.Source) (Plan, error) {
	var p Plan
	for _, platform := range src.Platforms() {
		img, err := src.Image(ctx, platform)
		if err != nil {
			return Plan{}, fmt.Errorf("read image: %w", err)
		}
		p.Name = img.Ref
		p.Parts = append(p.Parts, PlatformPlan{Image: img, Accept: layers.Accept{Zstd: true}})
	}
	return p, nil
}
