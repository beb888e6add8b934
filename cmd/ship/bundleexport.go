package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"ship/internal/event"
	"ship/internal/ui"
	"ship/layers"
	"ship/orchestrate"
	"ship/transfer/bundle"
)

// BundleExportCmd writes an image to a file.
type BundleExportCmd struct {
	Source string   `arg:"" help:"docker-daemon:REF (or just REF), docker-archive:FILE[:REF], oci-archive:FILE[:REF], oci:DIR[:REF], bundle:FILE, ssh://HOST/REF."`
	For    string   `placeholder:"INVENTORY" help:"Leave out what all hosts of this inventory hold (ship hosts inventory)."`
	Output string   `short:"o" placeholder:"FILE" help:"Where to write it (default: the image's name and .bundle)."`
	Tag    string   `short:"t" placeholder:"REF" help:"Name of the image on the hosts (default: the source's)."`
	Split  byteSize `placeholder:"SIZE" help:"Write FILE.001, FILE.002 and so on of this size: 4GB for FAT32."`
}

// exportResult is the result of bundle export --json.
type exportResult struct {
	Files []string `json:"files"`
	bundleSummary
}

// Run is the command.
func (c *BundleExportCmd) Run(ctx context.Context, d *deps) error {
	inv, err := c.inventory()
	if err != nil {
		return err
	}
	src, ref, closeSource, err := d.openSource(ctx, c.Source)
	if err != nil {
		return err
	}
	defer closeSource()
	plan, err := c.plan(ctx, src, ref, inv)
	if err != nil {
		return err
	}
	spool, err := layers.OpenSpool(layers.SpoolOptions{Dir: filepath.Join(d.cacheDir(), "layers"), Emit: d.ui.Emit})
	if err != nil {
		return fmt.Errorf("open the layer cache: %w", err)
	}
	defer spool.Close()
	d.ui.Emit(event.Event{Type: event.Phase, Phase: "read"})
	b, err := bundle.Make(ctx, plan, spool, time.Now())
	if err != nil {
		return err
	}
	return c.write(ctx, d, b)
}

func (c *BundleExportCmd) write(ctx context.Context, d *deps, b *bundle.Bundle) error {
	path := c.path(b.Header.Image)
	if err := roomFor(path, b.Size()); err != nil {
		return err
	}
	d.ui.Emit(event.Event{Type: event.Phase, Phase: "write"})
	files, err := b.WriteFile(ctx, path, int64(c.Split), d.ui.Emit)
	if err != nil {
		return writeError(err)
	}
	res := exportResult{files, summaryOf(b.Header, b.Size())}
	d.result(res)
	d.printSummary(res.bundleSummary)
	d.printf("wrote %s (%s)\n", strings.Join(files, ", "), ui.Bytes(b.Size()))
	return nil
}

// path is where the bundle goes: the file that was named, or one with the image's name, in the folder that was named.
func (c *BundleExportCmd) path(image string) string {
	name := strings.NewReplacer("/", "_", ":", "_").Replace(image) + ".bundle"
	if c.Output == "" {
		return name
	}
	if info, err := os.Stat(c.Output); err == nil && info.IsDir() {
		return filepath.Join(c.Output, name)
	}
	return c.Output
}

func (c *BundleExportCmd) inventory() (*bundle.Inventory, error) {
	if c.For == "" {
		return nil, nil
	}
	f, err := os.Open(c.For)
	if err != nil {
		return nil, &usageError{err, "`ship hosts inventory -o FILE` writes one, where the hosts can be reached"}
	}
	defer f.Close()
	inv, err := bundle.ReadInventory(f)
	if err != nil {
		return nil, &usageError{fmt.Errorf("%s: %w", c.For, err), "`ship hosts inventory -o FILE` writes one, where the hosts can be reached"}
	}
	return &inv, nil
}

func (c *BundleExportCmd) plan(ctx context.Context, src layers.Source, ref layers.Ref, inv *bundle.Inventory) (bundle.Plan, error) {
	full, err := (&PushCmd{Source: c.Source, Tag: c.Tag}).tag(ctx, src, ref)
	if err != nil {
		return bundle.Plan{}, err
	}
	plan, err := bundle.NewPlan(ctx, src, inv)
	var refused *bundle.HostError
	if errors.As(err, &refused) {
		return bundle.Plan{}, &orchestrate.RefusedError{Cause: err.Error(), Help: refused.Hint()}
	}
	if err != nil {
		return bundle.Plan{}, err
	}
	plan.Name, err = layers.FamiliarRef(full)
	return plan, err
}

// roomFor refuses to begin what the disk has no room for. Where that cannot be told, the writing will.
func roomFor(path string, size int64) error {
	var st syscall.Statfs_t
	dir := filepath.Dir(path)
	if err := syscall.Statfs(dir, &st); err != nil {
		return &usageError{fmt.Errorf("%s: %w", dir, err), ""}
	}
	free := st.Bavail * uint64(st.Bsize)
	if uint64(size) > free {
		return &orchestrate.RefusedError{Cause: fmt.Sprintf("disk too small: the bundle has %s, %s are free in %s", ui.Bytes(size), ui.Bytes(int64(min(free, 1<<62))), dir),
			Help: "an inventory of the far side (--for) leaves out what its hosts hold; or write it elsewhere with -o"}
	}
	return nil
}

// writeError explains what sticks do not like.
func writeError(err error) error {
	var place *bundle.PlaceError
	switch {
	case errors.As(err, &place), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return &usageError{err, ""}
	case errors.Is(err, syscall.EFBIG):
		return &orchestrate.RefusedError{Cause: err.Error(), Help: "the file system takes no file of that size: --split 4GB"}
	case errors.Is(err, syscall.ENOSPC):
		return &orchestrate.RefusedError{Cause: err.Error(), Help: "nothing was left behind; an inventory of the far side (--for) leaves out what its hosts hold"}
	}
	return err
}
